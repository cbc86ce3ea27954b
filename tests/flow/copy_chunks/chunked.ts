/** A large table that is copied in chunks, and gates at each step of that. */
import { beforeAll, expect, it } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate, gateSql } from "../gate.ts";
import { Job } from "../job.ts";
import { Writer } from "../writer.ts";

/**
 * `by_key` lies in the order of its key, `by_place` does not; `by_time` has a key whose text does not tell equal from
 * unequal. All have what refuses rows of different moments: unique values that move from row to row.
 */
const SCHEMA = `
  create table by_key (
    id integer generated always as identity primary key, u bigint, note text, twice bigint generated always as (u * 2) stored,
    during int4range not null, constraint u_key unique (u), check (u <> 0),
    exclude using gist (during with &&));
  comment on constraint u_key on by_key is 'of all moments';
  create index on by_key (note);
  create table child (id integer primary key references by_key);
  create table by_place (id uuid primary key, u bigint not null, note text);
  create unique index by_place_u on by_place (u) where u > 0;
  create table by_time (at timestamptz, n numeric, u bigint unique, primary key (at, n));
  create table other (id integer primary key);`;
export const TABLES = ["by_key", "by_place", "by_time"] as const;
const ROW_COUNT = 6_000;
const ROWS = `
  insert into by_key (u, note, during)
    select n, repeat('note ', n % 20), int4range(n, n + 1) from generate_series(1, ${ROW_COUNT}) n;
  -- With room in it, so that updated rows find another place before and behind their own.
  insert into by_place select md5(n::text)::uuid, n, repeat('note ', 20) from generate_series(1, ${ROW_COUNT} * 2) n;
  delete from by_place where u % 2 = 0;
  insert into by_time select '2024-01-01'::timestamptz + n * interval '1 second', n / 10.0, n from generate_series(1, ${ROW_COUNT}) n;`;

/** Writers of so many rows would otherwise meet in deadlocks. */
const ONE_AT_A_TIME = "lock table by_key in share row exclusive mode;";

/** Unique values move from row to row, keys change, rows come and go. All over the tables, so in loaded chunks and others. */
function change(n: number): string {
  const a = 1 + (n * 7919) % ROW_COUNT;
  const b = 1 + (n * 104_729 + 13) % ROW_COUNT;
  const c = 1 + (n * 1_299_709 + 7) % ROW_COUNT;
  return `${ONE_AT_A_TIME}
    update by_key set u = -${n}, during = int4range(-${n} - 1, -${n}) where id = ${a};
    update by_key set u = ${a}, during = int4range(${a}, ${a} + 1) where id = ${b}
       and not exists (select from by_key k where k.u = ${a} or k.during && int4range(${a}, ${a} + 1));
    delete from by_key where id = ${c};
    insert into by_key (id, u, during) overriding system value
      select ${c}, 10000000 + ${n}, int4range(10000000 + ${n}, 10000001 + ${n})
       where ${n} % 3 = 0 and not exists (select from by_key k where k.id = ${c});
    update by_place set u = -${n}, note = note || 'x' where id = md5((${a} * 2 - 1)::text)::uuid;
    update by_place set u = ${a} * 2 - 1 where id = md5((${b} * 2 - 1)::text)::uuid
       and not exists (select from by_place p where p.u = ${a} * 2 - 1);
    update by_place set id = md5('moved ${n}')::uuid where id = md5((${c} * 2 - 1)::text)::uuid;
    update by_time set u = -${n}, n = n * 1.00 where u = ${a};
    update by_time set at = at + interval '1 hour', u = ${a} where u = ${b} and not exists (select from by_time t where t.u = ${a});
    delete from by_time where u = ${c};`;
}
let changeCount = 0;

/** Many rows at once, from everywhere, to everywhere. */
const UPHEAVAL = `begin; ${ONE_AT_A_TIME}
  update by_place set note = 'moved' where u % 3 = 0;
  update by_key set id = default where id % 7 = 0;
  update by_key set note = 'moved' where id % 5 = 0;
  update by_time set n = n + 1 where u % 4 = 0;
  commit;`;

export interface Step {
  readonly name: string;
  readonly on: "provider" | "subscriber";
  readonly table: string;
  readonly condition: string;
  readonly event?: "delete";
}

/** Until all chunks are loaded. */
export const LOADING: readonly Step[] = [
  {
    name: "before it is emptied and chunks are stored",
    on: "subscriber",
    table: "skyq.copy_state",
    condition:
      "old.chunk_count is null and new.chunk_count is not null and new.source_file is not distinct from old.source_file",
  },
  {
    name: "between rows of a chunk and their commit",
    on: "subscriber",
    table: "skyq.copy_chunk",
    condition: "old.chunk_id % 4 = 0 and new.loaded_at is not null",
  },
  {
    name: "while the index of its key is built",
    on: "subscriber",
    table: "skyq.pending_index",
    condition: "old.key_columns is not null",
    event: "delete",
  },
  {
    name: "after the last chunk, in state in-copy",
    on: "subscriber",
    table: "londiste.table_info",
    condition: "old.merge_state = 'in-copy' and new.merge_state = 'catching-up'",
  },
];

/** From there on, until nothing of the copy is left. */
export const CATCHING_UP: readonly Step[] = [
  {
    name: "catching up with rows of several moments",
    on: "subscriber",
    table: "pgq_node.local_state",
    condition: "new.consumer_name like '%.copy.%' and new.last_tick_id is distinct from old.last_tick_id",
  },
  {
    name: "while other indexes are built",
    on: "subscriber",
    table: "skyq.pending_index",
    condition: "old.key_columns is null",
    event: "delete",
  },
  {
    name: "when its rows are of one moment again",
    on: "subscriber",
    table: "skyq.copy_state",
    condition: "old.settled_by is not null and new.settled_by is null",
  },
  {
    name: "in state wanna-sync",
    on: "subscriber",
    table: "londiste.table_info",
    condition: "old.merge_state like 'wanna-sync%' and new.merge_state is distinct from old.merge_state",
  },
  {
    name: "in state do-sync, before ok",
    on: "subscriber",
    table: "londiste.table_info",
    condition: "old.merge_state like 'do-sync%' and new.merge_state is distinct from old.merge_state",
  },
  {
    name: "after ok, before its consumer is gone",
    on: "provider",
    table: "pgq.subscription",
    condition: "true",
    event: "delete",
  },
];

/** The job of one test file: tables copied in chunks of few rows, and a replay that runs. */
export class ChunkedCopy {
  job!: Job;
  /** Chunks by place are read from PostgreSQL 14 on. */
  canByPlace!: boolean;

  constructor() {
    beforeAll(async () => {
      const [provider, subscriber] = await lendDatabases(2);
      this.canByPlace = Number(await provider.sql("show server_version_num")) >= 140_000;
      const job = this.job = new Job({
        provider,
        subscriber,
        settings: { copy_chunk_mb: "0.03", copy_connections: "2", parallel_copies: "3", lock_timeout: "60" },
      });
      for (const database of [provider, subscriber]) await database.sql(SCHEMA);
      await provider.sql(ROWS);
      await provider.sql("vacuum by_place");
      await job.install();
      for (const on of ["provider", "subscriber"] as const) {
        for (const step of [...LOADING, ...CATCHING_UP].filter((some) => some.on === on)) {
          await job[on].sql(gateSql(step));
        }
      }
      job.startReplay();
      await job.add("by_key", "by_place", "by_time", "other");
      await job.allOk();
      return () => job[Symbol.asyncDispose]();
    });
  }

  /** All indexes and constraints of a side, as it prints them. */
  #structure(db: Job["provider"]): Promise<string> {
    return db.sql(`select pg_get_indexdef(i.indexrelid) from pg_index i
             where i.indrelid in (${TABLES.map((table) => `'${table}'::regclass`).join(", ")}) order by 1;
            select c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid), c.convalidated,
                   obj_description(c.oid, 'pg_constraint')
              from pg_constraint c
             where c.conrelid in (${[...TABLES, "child"].map((table) => `'${table}'::regclass`).join(", ")})
               and c.contype <> 'n' order by 1, 2`);
  }

  async expectEqualAndClean(): Promise<void> {
    const { job } = this;
    await job.caughtUp(120_000);
    expect(await job.differences(...TABLES)).toEqual([]);
    await waitFor(async () => (await job.otherConsumers()).length === 0, {
      what: "the copies' consumers to be gone",
      timeoutMs: 120_000,
      pollMs: 200,
    });
    expect((await job.subscriber.sql("select consumer_name from pgq_node.get_consumer_info('q')")).trim()).toBe("job");
    expect(await job.subscriber.sql("select * from skyq.copy_chunk")).toBe("");
    expect(await job.subscriber.sql("select * from skyq.pending_index")).toBe("");
    const expected = await this.#structure(job.provider);
    await waitFor(async () => await this.#structure(job.subscriber) === expected, {
      what: "the foreign key to come back",
      timeoutMs: 120_000,
      pollMs: 200,
    });
    expect(job.log).not.toMatch(/bug in skyq/);
  }

  /** A test for each step: the replay is killed there, while rows all over the tables change. */
  testKills(steps: readonly Step[]): void {
    it.each(steps)("goes on after kill -9 $name", async ({ name, on }) => {
      const { job } = this;
      // Updates of the steps before have put rows out of the order of their key.
      await job.provider.sql("cluster by_key using by_key_pkey; cluster by_time using by_time_pkey");
      await using writer = new Writer(job.provider, () => change(++changeCount));
      let loaded = "";
      const { length } = job.log;
      {
        await using gate = await Gate.close(job[on], name);
        await job.run("subscriber", "resync", "conf.ini", ...TABLES);
        await gate.reached();
        if (name === "between rows of a chunk and their commit") {
          await waitFor(
            async () =>
              Number(await job.subscriber.sql("select count(*) from skyq.copy_chunk where loaded_at is not null")) >= 3,
            {
              what: "other chunks to be loaded",
            },
          );
          loaded = await job.subscriber.sql(
            "select table_name from skyq.copy_chunk where loaded_at is not null limit 1",
          );
        }
        await job.provider.sql(UPHEAVAL);
        await job.killReplay();
      }
      job.startReplay();
      await job.allOk();
      await writer.stop();
      await this.expectEqualAndClean();
      if (loaded !== "") {
        // Only what was in flight is loaded again.
        expect(job.log.slice(length)).toMatch(
          new RegExp(`Going on with the copy of ${loaded.trim()}: [1-9]\\d* of \\d+ chunks`),
        );
      }
    });
  }
}
