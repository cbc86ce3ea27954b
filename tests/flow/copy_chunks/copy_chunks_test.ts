/** A large table's copy in chunks is killed at each step of loading, while applications change what is being copied. */
import { describe, expect, it } from "vitest";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate } from "../gate.ts";
import { ChunkedCopy, LOADING } from "./chunked.ts";

describe("a copy in chunks", () => {
  const copy = new ChunkedCopy();

  it("is what these tables get, by key and by place", () => {
    const { job } = copy;
    expect(job.log).toMatch(/Dropping u_key/);
    if (copy.canByPlace) expect(job.log).not.toMatch(/in one piece/);
    else expect(job.log).toMatch(/by_place: copied in one piece: its rows do not lie in the order of its key/);
  });

  copy.testKills(LOADING);

  it("takes rows that move between chunks once, and loses none", async () => {
    const { job } = copy;
    if (!copy.canByPlace) return;
    const { length } = job.log;
    const place = "split_part(trim(both '()' from p.ctid::text), ',', 1)::int";
    // Half empty pages: whatever becomes larger finds room in another one.
    await job.provider.sql("update by_place set note = 'short'");
    await job.provider.sql("vacuum full by_place");
    await job.provider.sql("update by_place set note = repeat(md5(u::text), 2) where abs(u) % 4 = 1");
    await job.provider.sql("vacuum by_place");
    {
      await using gate = await Gate.close(job.subscriber, "between rows of a chunk and their commit");
      await job.run("subscriber", "resync", "conf.ini", "by_place");
      await gate.reached();
      await waitFor(
        async () => await job.subscriber.sql("select 1 from skyq.copy_chunk where loaded_at is not null") !== "",
        {
          what: "a chunk to be loaded",
        },
      );
      // From the front, which is loaded, to the end, which is not; and the other way round.
      await job.provider.sql(`update by_place p set note = repeat(md5(u::text), 20) where ${place} < 12`);
      await job.provider.sql("vacuum by_place");
      const before = await job.provider.sql(`select count(*) from by_place p where ${place} < 12`);
      await job.provider.sql(`update by_place p set note = repeat(md5(u::text), 20) where ${place} > 60`);
      const after = await job.provider.sql(`select count(*) from by_place p where ${place} < 12`);
      expect(Number(after)).toBeGreaterThan(Number(before));
      await gate.open();
      await job.allOk();
    }
    await copy.expectEqualAndClean();
    expect(job.log.slice(length)).toMatch(/by_place: [1-9]\d* rows were met twice/);
  });
});
