/** What happens to a table and its sessions while its chunks are being copied. */
import { describe, expect, it } from "vitest";
import { waitFor } from "../../harness/wait_for.ts";
import { HeldUpCopy, ROWS, TABLES } from "./held_up.ts";

describe("while chunks are copied", () => {
  const copy = new HeldUpCopy();

  it("subscriber tables shows how far the copy is, and other tables are replayed", async () => {
    await copy.heldUp(["by_key"], async (gate) => {
      const shown = await copy.job.run("subscriber", "tables", "conf.ini");
      expect(shown).toMatch(/public\.by_key +in-copy +[1-9]\d*\/\d\d chunks, [1-9]\d* rows, \d+ kB\n/);
      const row = JSON.parse((await copy.job.run("subscriber", "tables", "conf.ini", "--json")).trim().split("\n")[0]!);
      expect(row).toMatchObject({ table: "public.by_key", state: "in-copy", error: null });
      expect(row.chunks_loaded).toBeGreaterThan(0);
      expect(row.chunks_loaded).toBeLessThan(row.chunks);
      await copy.job.provider.sql("insert into other values (1)");
      await waitFor(async () => await copy.job.subscriber.sql("select 1 from other where id = 1") !== "", {
        what: "another table's row to arrive",
      });
      await gate.open();
    });
    await copy.expectEqualAndClean();
    expect(await copy.job.run("subscriber", "tables", "conf.ini")).not.toMatch(/chunks/);
  });

  it("a copy session that the server ends is replaced, and only its chunk is loaded again", async () => {
    await copy.heldUp(["by_key"], async (gate) => {
      await copy.job.subscriber.sql(
        "select pg_terminate_backend(a.pid) from pg_stat_activity a where a.wait_event = 'advisory' and a.application_name like 'skyq copy%' and a.datname = current_database()",
      );
      await gate.open();
      await copy.job.allOk();
    });
    await copy.expectEqualAndClean();
    expect(copy.newLog).toMatch(/Copy of public\.by_key failed/);
    expect(copy.newLog).toMatch(/Going on with the copy of public\.by_key: [1-9]\d* of/);
  });

  it("the table may be emptied and filled again", async () => {
    await copy.heldUp(TABLES, async (gate) => {
      await copy.job.provider.sql("truncate by_key; insert into by_key values (1, 7), (99999, 8)");
      await copy.job.provider.sql("truncate by_place");
      await gate.open();
      await copy.job.allOk();
    });
    await copy.expectEqualAndClean();
    await copy.job.provider.sql(ROWS);
    await copy.expectEqualAndClean();
  });

  it("the provider's table may be rewritten: chunks by place begin again", async () => {
    await copy.heldUp(TABLES, async (gate) => {
      // Rows change their places, and no event says so.
      await copy.job.provider.sql("delete from by_place where u % 3 = 0");
      await copy.job.provider.sql("vacuum full by_place");
      await copy.job.provider.sql("vacuum full by_key");
      await gate.open();
      await copy.job.allOk();
    });
    await copy.expectEqualAndClean();
    if (copy.canByPlace) {
      expect(copy.newLog).toMatch(/Copy of "public\.by_place" begins again: the provider's table was rewritten/);
    }
    expect(copy.newLog).not.toMatch(/by_key.*begins again/);
    await copy.job.provider.sql(ROWS);
    await copy.job.finished();
  });

  it("columns may be added on both sides", async () => {
    await copy.heldUp(TABLES, async (gate) => {
      // The rows of the chunk that is held up are in the table's way.
      await gate.open();
      for (const database of [copy.job.subscriber, copy.job.provider]) {
        await database.sql(
          "alter table by_key add column added integer default 5; alter table by_place add column added text",
        );
      }
      await copy.job.provider.sql(
        "update by_key set added = id where id % 2 = 0; update by_place set added = 'x' where u % 2 = 0",
      );
      await copy.job.allOk();
    });
    await copy.expectEqualAndClean();
  });

  it("a chunk that is refused shows why; mended, the copy goes on", async () => {
    await copy.job.subscriber.sql("alter table by_key add constraint small check (u < 4500) not valid");
    await copy.job.run("subscriber", "resync", "conf.ini", "by_key");
    await waitFor(async () => /chunks.*small/.test(await copy.job.run("subscriber", "tables", "conf.ini")), {
      what: "the reason to be shown",
    });
    await copy.job.subscriber.sql("alter table by_key drop constraint small");
    await copy.expectEqualAndClean();
    expect(copy.newLog).toMatch(/Going on with the copy of public\.by_key: [1-9]\d* of/);
  });
});
