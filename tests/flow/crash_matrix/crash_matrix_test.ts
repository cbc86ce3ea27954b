/**
 * Kill -9 between any two steps. A first run records every statement that the replay, its copies and its ticker send
 * while a table is copied, handed over and replayed; then the replay is killed in front of such a statement, or when the
 * server has run it and its answer has not arrived. `SKYQ_LONG=1` does it at every statement, before and after.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { seeded } from "../../harness/seed.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { TappedDatabase, type When } from "../../harness/wire_tap.ts";
import { Job, size } from "../job.ts";
import { Writer } from "../writer.ts";

const ROW_COUNT = 2_000;
const SCHEMA = `
  create table parent (id integer primary key, n bigint not null default 0);
  create table child (id integer primary key, parent_id integer references parent, n bigint default 0, note text unique);
  create index child_n on child (n);
  create sequence counter;`;
const ROWS = `
  insert into parent select n from generate_series(1, 100) n;
  insert into child select n, 1 + n % 100, n, 'note ' || n from generate_series(1, ${ROW_COUNT}) n;`;
const TABLES = ["parent", "child"];

/** Inserts, updates, deletes, key changes, a unique value that moves from row to row, and now and then a truncation. */
function change(n: number): string {
  const id = 1 + (n * 7919) % ROW_COUNT;
  if (n % 97 === 0) {
    return `truncate child; insert into child select n, 1, n, 'again ${n} ' || n from generate_series(1, 50) n`;
  }
  return `insert into child values (${ROW_COUNT + n}, 1 + ${n} % 100, 0, 'new ${n}');
    update parent set n = n + 1 where id = 1 + ${n} % 100;
    update child set n = n + 1 where id = ${id};
    delete from child where id = ${1 + (n * 104_729) % ROW_COUNT};
    update child set id = -id, note = 'moved' where id = ${1 + (n * 1_299_709) % ROW_COUNT} and id > 0
      and not exists (select from child where note = 'moved');
    update child set note = null where note = 'moved' and ${n} % 3 = 0;
    select nextval('counter')`;
}

interface Step {
  readonly side: "provider" | "subscriber";
  readonly name: string;
  /** How often it was seen. */
  readonly count: number;
}

const WAYS = {
  "in one snapshot": { copy_chunk_mb: "32" },
  "in chunks": { copy_chunk_mb: "0.05", copy_connections: "2" },
} as const satisfies Record<string, Record<string, string>>;

const dice = seeded("crash_matrix");
const ALL_WAYS = Object.keys(WAYS) as (keyof typeof WAYS)[];

describe.each(size({ smoke: [dice.pick(ALL_WAYS)], long: ALL_WAYS }))("crash matrix of a copy %s", (way) => {
  const random = dice;
  let taps: Record<Step["side"], TappedDatabase>;
  let job: Job;
  let changeCount = 0;
  let steps: Step[];

  beforeAll(async () => {
    const [provider, subscriber] = await lendDatabases(2);
    taps = { provider: new TappedDatabase(provider), subscriber: new TappedDatabase(subscriber) };
    job = new Job({ ...taps, settings: { exception_sleep: "1", ...WAYS[way] } });
    await provider.sql(SCHEMA + ROWS);
    await subscriber.sql(SCHEMA);
    await job.install();
    await job.run("provider", "add-seq", "conf.ini", "counter");
    await job.run("subscriber", "add-seq", "conf.ini", "counter");
    await job.add(...TABLES);
    job.startReplay();
    await job.caughtUp();
    await job.killReplay();
    steps = await recordSteps();
    return async () => {
      await job[Symbol.asyncDispose]();
      for (const tap of Object.values(taps)) await tap[Symbol.asyncDispose]();
    };
  });

  /** Sends the table back to its copy, then runs `replay` while an application writes. */
  async function story(replay: () => Promise<void>): Promise<void> {
    await using writer = new Writer(job.provider, () => change(++changeCount));
    await job.run("subscriber", "resync", "conf.ini", "child");
    await replay();
    await writer.stop();
    await job.caughtUp();
    await expectSound();
    await job.killReplay();
  }

  /** Equal, and nothing left of what was under way. */
  async function expectSound(): Promise<void> {
    expect(await job.differences(...TABLES)).toEqual([]);
    await waitFor(async () => (await job.otherConsumers()).length === 0, {
      what: `consumers of copies to be gone: ${await job.otherConsumers()}`,
      timeoutMs: 120_000,
    });
    expect((await job.subscriber.sql("select consumer_name from pgq_node.get_consumer_info('q')")).trim()).toBe("job");
    await waitFor(async () => await constraints(job.subscriber) === await constraints(job.provider), {
      what: "all keys to be there and valid",
      timeoutMs: 120_000,
    });
    await waitFor(async () => await job.subscriber.sql("select from_table from londiste.pending_fkeys") === "", {
      what: "no key to be pending",
      timeoutMs: 120_000,
    });
    expect(await indexes(job.subscriber)).toBe(await indexes(job.provider));
    expect(await job.subscriber.sql("select * from skyq.copy_chunk")).toBe("");
    const [here, there] = await Promise.all(
      [job.provider, job.subscriber].map(async (side) => Number(await side.sql("select last_value from counter"))),
    );
    expect(there).toBeGreaterThanOrEqual(here!);
  }

  async function recordSteps(): Promise<Step[]> {
    for (const tap of Object.values(taps)) tap.record();
    await story(async () => {
      job.startReplay();
      await job.caughtUp();
    });
    return (["provider", "subscriber"] as const).flatMap((side) => {
      const counts = new Map<string, number>();
      for (const name of taps[side].steps.filter((step) => !step.startsWith("skyq subscriber "))) {
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      return [...counts].map(([name, count]) => ({ side, name, count }));
    });
  }

  /** @returns whether the step came at all: what depends on chance or on the clock may not */
  async function crash(step: Step, when: When, nth: number): Promise<boolean> {
    let wasReached = false;
    await story(async () => {
      const reached = taps[step.side].reached(step.name, when, nth).then(() => wasReached = true);
      job.startReplay();
      await Promise.race([reached, job.allOk().then(() => job.finished())]);
      taps[step.side].clear();
      await job.killReplay();
      job.startReplay();
    });
    return wasReached;
  }

  it("knows the steps of a replay, a copy and a ticker", () => {
    const names = steps.map(({ name }) => name);
    for (const who of ["skyq replay job: ", "skyq copy public.child: "]) {
      expect(names.filter((name) => name.startsWith(who)).length).toBeGreaterThan(15);
    }
    for (
      const what of [/: commit/, /truncate/, /copy .* from stdin/i, /pgq\.finish_batch/, /pgq\.unregister_consumer/]
    ) {
      expect(names.some((name) => what.test(name))).toBe(true);
    }
  });

  it("leaves nothing that the next start does not heal, wherever the replay was killed", async () => {
    const all = steps.flatMap((step) => (["before", "after"] as const).map((when) => ({ step, when })));
    const chosen = size({ smoke: random.shuffle(all).slice(0, 5), long: all });
    const missed: string[] = [];
    for (const { step, when } of chosen) {
      const nth = random.chance(0.7) ? 1 : random.int(1, Math.min(step.count, 4));
      const place = `${when} ${step.side}'s ${nth}. "${step.name}"`;
      try {
        if (!await crash(step, when, nth)) missed.push(place);
      } catch (error) {
        throw new Error(`Killed ${place}: ${(error as Error).message}`, { cause: error });
      }
    }
    console.log(
      `crash_matrix: ${chosen.length - missed.length} kills at ${steps.length} steps; not reached: ${missed}`,
    );
    expect(missed.length).toBeLessThanOrEqual(Math.ceil(chosen.length / 2));
  }, size({ smoke: 300_000, long: 7_200_000 }));
});

async function constraints(database: { sql(text: string): Promise<string> }): Promise<string> {
  return await database.sql(`select conname, pg_get_constraintdef(oid), convalidated from pg_constraint
    where conrelid in ('parent'::regclass, 'child'::regclass) order by 1`);
}

async function indexes(database: { sql(text: string): Promise<string> }): Promise<string> {
  return await database.sql(
    "select indexdef from pg_indexes where schemaname = 'public' and tablename in ('parent', 'child') order by 1",
  );
}
