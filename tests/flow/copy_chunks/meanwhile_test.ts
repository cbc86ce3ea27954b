/** What happens to a table, its sessions and its registration while its chunks are being copied. */
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate, gateSql } from "../gate.ts";
import { Job } from "../job.ts";

const SCHEMA = `
  create table by_key (id integer primary key, u bigint unique, note text);
  create table by_place (id uuid primary key, u bigint unique, note text);
  create table other (id integer primary key);`;
const ROW_COUNT = 5_000;
const ROWS = `
  truncate by_key, by_place;
  insert into by_key select n, n, repeat('note ', 10) from generate_series(1, ${ROW_COUNT}) n;
  insert into by_place select md5(n::text)::uuid, n, repeat('note ', 10) from generate_series(1, ${ROW_COUNT}) n;`;
const TABLES = ["by_key", "by_place"] as const;
const CHUNK = "a chunk before its commit";

describe("while chunks are copied", () => {
  let job: Job;
  /** Chunks by place are read from PostgreSQL 14 on. */
  let canByPlace: boolean;
  let length: number;
  const newLog = () => job.log.slice(length);

  beforeAll(async () => {
    const [provider, subscriber] = await lendDatabases(2);
    canByPlace = Number(await provider.sql("show server_version_num")) >= 140_000;
    job = new Job({
      provider,
      subscriber,
      settings: { copy_chunk_mb: "0.03", parallel_copies: "2", lock_timeout: "60" },
    });
    for (const database of [provider, subscriber]) await database.sql(SCHEMA);
    await provider.sql(ROWS);
    await job.install();
    await subscriber.sql(gateSql({
      name: CHUNK,
      table: "skyq.copy_chunk",
      condition: "old.chunk_id % 4 = 0 and new.loaded_at is not null",
    }));
    job.startReplay();
    await job.add(...TABLES, "other");
    await job.allOk();
    return () => job[Symbol.asyncDispose]();
  });

  beforeEach(() => {
    length = job.log.length;
  });

  async function expectEqualAndClean(): Promise<void> {
    await job.caughtUp();
    expect(await job.differences(...TABLES)).toEqual([]);
    expect(await job.subscriber.sql("select * from skyq.copy_chunk")).toBe("");
    await waitFor(async () => await job.subscriber.sql("select * from skyq.pending_index") === "", {
      what: "the indexes to be there again",
      timeoutMs: 40_000,
    });
    expect(await indexes(job.subscriber)).toBe(await indexes(job.provider));
    expect(job.log).not.toMatch(/bug in skyq/);
  }

  const indexes = (db: Job["provider"]) =>
    db.sql(`select pg_get_indexdef(i.indexrelid) from pg_index i
             where i.indrelid in ('by_key'::regclass, 'by_place'::regclass) order by 1`);

  /** Holds the copies of `tables` when some of their chunks are loaded and others are not, for the time of `work`. */
  async function heldUp(tables: readonly string[], work: (gate: Gate) => Promise<void>): Promise<void> {
    await using gate = await Gate.close(job.subscriber, CHUNK);
    await job.run("subscriber", "resync", "conf.ini", ...tables);
    await gate.reached();
    await waitFor(
      async () => await job.subscriber.sql("select 1 from skyq.copy_chunk where loaded_at is not null") !== "",
      {
        what: "a chunk to be loaded",
      },
    );
    await work(gate);
  }

  const someoneWaitsForARow = () =>
    waitFor(
      async () =>
        await job.subscriber.sql("select 1 from pg_locks l where l.locktype = 'transactionid' and not l.granted") !==
          "",
      {
        what: "somebody to wait for the chunk that is held up",
      },
    );

  it("subscriber tables shows how far the copy is, and other tables are replayed", async () => {
    await heldUp(["by_key"], async (gate) => {
      const shown = await job.run("subscriber", "tables", "conf.ini");
      expect(shown).toMatch(/public\.by_key +in-copy +[1-9]\d*\/\d\d chunks, [1-9]\d* rows, \d+ kB\n/);
      const row = JSON.parse((await job.run("subscriber", "tables", "conf.ini", "--json")).trim().split("\n")[0]!);
      expect(row).toMatchObject({ table: "public.by_key", state: "in-copy", error: null });
      expect(row.chunks_loaded).toBeGreaterThan(0);
      expect(row.chunks_loaded).toBeLessThan(row.chunks);
      await job.provider.sql("insert into other values (1)");
      await waitFor(async () => await job.subscriber.sql("select 1 from other where id = 1") !== "", {
        what: "another table's row to arrive",
      });
      await gate.open();
    });
    await expectEqualAndClean();
    expect(await job.run("subscriber", "tables", "conf.ini")).not.toMatch(/chunks/);
  }, 60_000);

  it("a copy session that the server ends is replaced, and only its chunk is loaded again", async () => {
    await heldUp(["by_key"], async (gate) => {
      await job.subscriber.sql(
        "select pg_terminate_backend(a.pid) from pg_stat_activity a where a.wait_event = 'advisory' and a.application_name like 'skyq copy%'",
      );
      await gate.open();
      await job.allOk();
    });
    await expectEqualAndClean();
    expect(newLog()).toMatch(/Copy of public\.by_key failed/);
    expect(newLog()).toMatch(/Going on with the copy of public\.by_key: [1-9]\d* of/);
  }, 60_000);

  it("the table may be emptied and filled again", async () => {
    await heldUp(TABLES, async (gate) => {
      await job.provider.sql("truncate by_key; insert into by_key values (1, 7), (99999, 8)");
      await job.provider.sql("truncate by_place");
      await gate.open();
      await job.allOk();
    });
    await expectEqualAndClean();
    await job.provider.sql(ROWS);
    await expectEqualAndClean();
  }, 60_000);

  it("the provider's table may be rewritten: chunks by place begin again", async () => {
    await heldUp(TABLES, async (gate) => {
      // Rows change their places, and no event says so.
      await job.provider.sql("delete from by_place where u % 3 = 0");
      await job.provider.sql("vacuum full by_place");
      await job.provider.sql("vacuum full by_key");
      await gate.open();
      await job.allOk();
    });
    await expectEqualAndClean();
    if (canByPlace) {
      expect(newLog()).toMatch(/Copy of "public\.by_place" begins again: the provider's table was rewritten/);
    }
    expect(newLog()).not.toMatch(/by_key.*begins again/);
    await job.provider.sql(ROWS);
    await job.finished();
  }, 60_000);

  it("columns may be added on both sides", async () => {
    await heldUp(TABLES, async (gate) => {
      // The rows of the chunk that is held up are in the table's way.
      await gate.open();
      for (const database of [job.subscriber, job.provider]) {
        await database.sql(
          "alter table by_key add column added integer default 5; alter table by_place add column added text",
        );
      }
      await job.provider.sql(
        "update by_key set added = id where id % 2 = 0; update by_place set added = 'x' where u % 2 = 0",
      );
      await job.allOk();
    });
    await expectEqualAndClean();
  }, 60_000);

  it("a chunk that is refused shows why; mended, the copy goes on", async () => {
    await job.subscriber.sql("alter table by_key add constraint small check (u < 4500) not valid");
    await job.run("subscriber", "resync", "conf.ini", "by_key");
    await waitFor(async () => /chunks.*small/.test(await job.run("subscriber", "tables", "conf.ini")), {
      what: "the reason to be shown",
    });
    await job.subscriber.sql("alter table by_key drop constraint small");
    await expectEqualAndClean();
    expect(newLog()).toMatch(/Going on with the copy of public\.by_key: [1-9]\d* of/);
  }, 60_000);

  it("a table that is removed gets its indexes back, and can be added again", async () => {
    await heldUp(["by_key"], async (gate) => {
      // It waits for the chunk that is held up, and comes right after it.
      const removed = job.run("subscriber", "remove", "conf.ini", "by_key");
      await someoneWaitsForARow();
      await gate.open();
      await removed;
    });
    await waitFor(async () => await indexes(job.subscriber) === await indexes(job.provider), {
      what: "the indexes to be there again",
      timeoutMs: 40_000,
    });
    expect(await job.subscriber.sql("select * from skyq.copy_chunk")).toBe("");
    await job.run("subscriber", "add", "conf.ini", "by_key");
    await expectEqualAndClean();
  }, 90_000);

  it("a copy that is told to begin anew does so, and nothing of the old one is left", async () => {
    await heldUp(["by_key"], async (gate) => {
      // As `londiste.py resync` does, whatever state the table is in.
      await job.subscriber.sql("select londiste.local_set_table_state('q', 'public.by_key', null, null)");
      await job.subscriber.sql("update by_key set note = 'not the provider''s'");
      await someoneWaitsForARow();
      await gate.open();
    });
    await expectEqualAndClean();
    expect(newLog()).toMatch(/Starting full copy of public\.by_key[\s\S]*Starting full copy of public\.by_key/);
  }, 60_000);

  it("skyq copy does not take a copy from a running replay", async () => {
    await heldUp(["by_key"], async (gate) => {
      const refused = await job.try("copy", "conf.ini", "by_key");
      expect(refused.code).toBe(6);
      expect(refused.stderr).toMatch(/Cannot start the copy of table public\.by_key: another instance holds it/);
      await gate.open();
    });
    await expectEqualAndClean();
  }, 60_000);

  it("skyq copy copies a table while no replay runs, and goes on with a copy that died", async () => {
    const done = await job.try("copy", "conf.ini", "by_key");
    expect(done.code).toBe(1);
    expect(done.stderr).toMatch(/Cannot copy table "public\.by_key": it is in sync/);
    const unknown = await job.try("copy", "conf.ini", "nothing");
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringMatching(/"nothing": it is not subscribed/)]);

    await heldUp(["by_key"], () => job.killReplay());
    await job.run("subscriber", "tables", "conf.ini");
    const continued = await job.try("copy", "conf.ini", "by_key", "--set", "copy_connections=3");
    expect([continued.code, continued.stderr]).toEqual([
      0,
      expect.stringMatching(
        /Going on with the copy of public\.by_key: [1-9][\s\S]*copied; the next replay takes it over/,
      ),
    ]);
    expect((await job.states()).get("public.by_key")).toMatch(/^wanna-sync/);
    await job.provider.sql("update by_key set note = 'later' where id % 3 = 0");
    job.startReplay();
    await expectEqualAndClean();
  }, 60_000);

  it("a subscriber's schema of an older version has tables copied in one piece", async () => {
    await job.subscriber.sql(`drop table skyq.copy_chunk, skyq.pending_index;
      alter table skyq.copy_state drop column chunk_count, drop column source_file, drop column settled_by`);
    await job.run("subscriber", "resync", "conf.ini", "by_key");
    await job.caughtUp();
    expect(await job.differences(...TABLES)).toEqual([]);
    expect(newLog()).toMatch(/by_key: copied in one piece: an older version made the subscriber's schema/);
    expect(await job.run("subscriber", "tables", "conf.ini")).toMatch(/public\.by_key +ok\n/);
    await job.run("subscriber", "remove", "conf.ini", "by_key");
  }, 60_000);
});
