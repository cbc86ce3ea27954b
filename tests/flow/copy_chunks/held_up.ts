/** Two tables whose copies in chunks are held up when some chunks are loaded and others are not. */
import { beforeAll, beforeEach, expect } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate, gateSql } from "../gate.ts";
import { Job } from "../job.ts";

const SCHEMA = `
  create table by_key (id integer primary key, u bigint unique, note text);
  create table by_place (id uuid primary key, u bigint unique, note text);
  create table other (id integer primary key);`;
const ROW_COUNT = 5_000;
export const ROWS = `
  truncate by_key, by_place;
  insert into by_key select n, n, repeat('note ', 10) from generate_series(1, ${ROW_COUNT}) n;
  insert into by_place select md5(n::text)::uuid, n, repeat('note ', 10) from generate_series(1, ${ROW_COUNT}) n;`;
export const TABLES = ["by_key", "by_place"] as const;
const CHUNK = "a chunk before its commit";

/** The job of one test file, with a replay that runs. */
export class HeldUpCopy {
  job!: Job;
  /** Chunks by place are read from PostgreSQL 14 on. */
  canByPlace!: boolean;
  #length = 0;

  constructor() {
    beforeAll(async () => {
      const [provider, subscriber] = await lendDatabases(2);
      this.canByPlace = Number(await provider.sql("show server_version_num")) >= 140_000;
      const job = this.job = new Job({
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
      this.#length = this.job.log.length;
    });
  }

  /** What the replay has logged since the test began. */
  get newLog(): string {
    return this.job.log.slice(this.#length);
  }

  async expectEqualAndClean(): Promise<void> {
    const { job } = this;
    await job.caughtUp();
    expect(await job.differences(...TABLES)).toEqual([]);
    expect(await job.subscriber.sql("select * from skyq.copy_chunk")).toBe("");
    await waitFor(async () => await job.subscriber.sql("select * from skyq.pending_index") === "", {
      what: "the indexes to be there again",
      timeoutMs: 120_000,
    });
    expect(await this.indexes(job.subscriber)).toBe(await this.indexes(job.provider));
    expect(job.log).not.toMatch(/bug in skyq/);
  }

  indexes(db: Job["provider"]): Promise<string> {
    return db.sql(`select pg_get_indexdef(i.indexrelid) from pg_index i
             where i.indrelid in ('by_key'::regclass, 'by_place'::regclass) order by 1`);
  }

  /** Holds the copies of `tables` when some of their chunks are loaded and others are not, for the time of `work`. */
  async heldUp(tables: readonly string[], work: (gate: Gate) => Promise<void>): Promise<void> {
    const { job } = this;
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

  async someoneWaitsForARow(): Promise<void> {
    await waitFor(
      async () =>
        await this.job.subscriber.sql(
          "select 1 from pg_locks l where l.locktype = 'transactionid' and not l.granted",
        ) !==
          "",
      {
        what: "somebody to wait for the chunk that is held up",
      },
    );
  }
}
