/** What an operator does to a table, its registration and its copy while its chunks are being copied. */
import { describe, expect, it } from "vitest";
import { waitFor } from "../../harness/wait_for.ts";
import { HeldUpCopy, TABLES } from "./held_up.ts";

describe("while chunks are copied, by hand", () => {
  const copy = new HeldUpCopy();

  it("a table that is removed gets its indexes back, and can be added again", async () => {
    await copy.heldUp(["by_key"], async (gate) => {
      // It waits for the chunk that is held up, and comes right after it.
      const removed = copy.job.run("subscriber", "remove", "conf.ini", "by_key");
      await copy.someoneWaitsForARow();
      await gate.open();
      await removed;
    });
    await waitFor(async () => await copy.indexes(copy.job.subscriber) === await copy.indexes(copy.job.provider), {
      what: "the indexes to be there again",
      timeoutMs: 120_000,
    });
    expect(await copy.job.subscriber.sql("select * from skyq.copy_chunk")).toBe("");
    await copy.job.run("subscriber", "add", "conf.ini", "by_key");
    await copy.expectEqualAndClean();
  });

  it("a copy that is told to begin anew does so, and nothing of the old one is left", async () => {
    await copy.heldUp(["by_key"], async (gate) => {
      // As `londiste.py resync` does, whatever state the table is in.
      await copy.job.subscriber.sql("select londiste.local_set_table_state('q', 'public.by_key', null, null)");
      await copy.job.subscriber.sql("update by_key set note = 'not the provider''s'");
      await copy.someoneWaitsForARow();
      await gate.open();
    });
    await copy.expectEqualAndClean();
    expect(copy.newLog).toMatch(/Starting full copy of public\.by_key[\s\S]*Starting full copy of public\.by_key/);
  });

  it("skyq copy does not take a copy from a running replay", async () => {
    await copy.heldUp(["by_key"], async (gate) => {
      const refused = await copy.job.try("copy", "conf.ini", "by_key");
      expect(refused.code).toBe(6);
      expect(refused.stderr).toMatch(/Cannot start the copy of table public\.by_key: another instance holds it/);
      await gate.open();
    });
    await copy.expectEqualAndClean();
  });

  it("skyq copy copies a table while no replay runs, and goes on with a copy that died", async () => {
    const done = await copy.job.try("copy", "conf.ini", "by_key");
    expect(done.code).toBe(1);
    expect(done.stderr).toMatch(/Cannot copy table "public\.by_key": it is in sync/);
    const unknown = await copy.job.try("copy", "conf.ini", "nothing");
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringMatching(/"nothing": it is not subscribed/)]);

    await copy.heldUp(["by_key"], () => copy.job.killReplay());
    await copy.job.run("subscriber", "tables", "conf.ini");
    const continued = await copy.job.try("copy", "conf.ini", "by_key", "--set", "copy_connections=3");
    expect([continued.code, continued.stderr]).toEqual([
      0,
      expect.stringMatching(
        /Going on with the copy of public\.by_key: [1-9][\s\S]*copied; the next replay takes it over/,
      ),
    ]);
    expect((await copy.job.states()).get("public.by_key")).toMatch(/^wanna-sync/);
    await copy.job.provider.sql("update by_key set note = 'later' where id % 3 = 0");
    copy.job.startReplay();
    await copy.expectEqualAndClean();
  });

  it("a subscriber's schema of an older version has tables copied in one piece", async () => {
    await copy.job.subscriber.sql(`drop table skyq.copy_chunk, skyq.pending_index;
      alter table skyq.copy_state drop column chunk_count, drop column source_file, drop column settled_by`);
    await copy.job.run("subscriber", "resync", "conf.ini", "by_key");
    await copy.job.caughtUp();
    expect(await copy.job.differences(...TABLES)).toEqual([]);
    expect(copy.newLog).toMatch(/by_key: copied in one piece: an older version made the subscriber's schema/);
    expect(await copy.job.run("subscriber", "tables", "conf.ini")).toMatch(/public\.by_key +ok\n/);
    await copy.job.run("subscriber", "remove", "conf.ini", "by_key");
  });
});
