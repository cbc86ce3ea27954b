/**
 * Random tables and random transactions on them, many at a time, while ticks, kills, copies and removals come in
 * between: in the end both sides are equal. `SKYQ_LONG=1` runs a thousand histories; `SKYQ_SEED` runs the same again,
 * with `SKYQ_HISTORY=12` that history alone.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ident } from "../../harness/cluster.ts";
import { lendDatabases } from "../../harness/pair.ts";
import { type SkyqProcess, spawnSkyq } from "../../harness/process.ts";
import { seeded } from "../../harness/seed.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job, size } from "../job.ts";
import type { CaptureMode, Table } from "./history.ts";
import { History, Session } from "./sessions.ts";
import { TYPE_SETUP } from "./types.ts";

const HISTORY_COUNT = size({ smoke: 50, long: 1_000 });
/** Histories that go on at the same time, each with two sessions. */
const WAVE_SIZE = 25;
const STEP_COUNT = 40;

describe("random histories", () => {
  const random = seeded("random_history");
  const sessions: Session[] = [];
  let job: Job;
  let ticker: SkyqProcess;
  let major: number;
  /** Tables that were not equal in the end. */
  const differing: string[] = [];

  beforeAll(async () => {
    const [provider, subscriber] = await lendDatabases(2);
    major = Math.floor(Number(await provider.sql("show server_version_num")) / 10_000);
    job = new Job({ provider, subscriber, settings: { parallel_copies: "6", exception_sleep: "1" } });
    await job.install();
    for (const database of [provider, subscriber]) await database.sql(TYPE_SETUP);
    // Each look of the ticker makes a tick.
    await provider.sql(`select pgq.set_queue_config('q', 'ticker_max_lag', '0'),
      pgq.set_queue_config('q', 'ticker_max_count', '1'), pgq.set_queue_config('q', 'ticker_idle_period', '0')`);
    startTicker();
    job.startReplay();
    for (let i = 0; i < 2 * WAVE_SIZE; i++) sessions.push(new Session(provider));
    await Promise.all(sessions.map((session) => session.start()));
  });

  afterAll(async () => {
    await Promise.allSettled(sessions.map((session) => session.close()));
    await ticker?.kill("SIGKILL");
    await job?.[Symbol.asyncDispose]();
  });

  function startTicker(): void {
    ticker = spawnSkyq(["ticker", "ticker.ini", "--set", "ticker_period=0.3"], { cwd: job.dir });
  }

  it("end with equal contents on both sides", async () => {
    const draws = fc.sample(fc.gen(), { seed: random.seed, numRuns: HISTORY_COUNT });
    const only = Deno.env.get("SKYQ_HISTORY");
    const chosen = [...draws.entries()].filter(([index]) => only === undefined || index === Number(only));
    const counts = { histories: 0, statements: 0, refused: 0, kills: 0, resyncs: 0, removals: 0 };
    for (let first = 0; first < chosen.length; first += WAVE_SIZE) {
      const wave = new Map(
        chosen.slice(first, first + WAVE_SIZE).map(([index, draw], slot) => [
          index,
          new History(draw, {
            schema: schemaOf(index),
            sessions: sessions.slice(2 * slot, 2 * slot + 2),
            major,
            stepCount: STEP_COUNT,
          }),
        ]),
      );
      await runWave(wave, counts);
      counts.histories += wave.size;
      if (HISTORY_COUNT > 50) console.log(`random_history: ${Deno.inspect(counts)}`);
    }
    console.log(`random_history: ${Deno.inspect(counts)}`);
    expect(differing).toEqual([]);
    // Most statements have to do something, or nothing was tested.
    expect(counts.refused).toBeLessThan(counts.statements / 2);
  }, HISTORY_COUNT * 20_000 + 120_000);

  async function runWave(
    wave: Map<number, History>,
    counts: { statements: number; refused: number; kills: number; resyncs: number; removals: number },
  ): Promise<void> {
    const tables = [...wave.values()].flatMap((history) => history.tables);
    const schemas = [...wave.keys()].map((index) => ident(schemaOf(index)));
    await job.provider.sql(schemas.map((schema) => `create schema ${schema};`).join("\n"));
    await job.subscriber.sql(schemas.map((schema) => `create schema ${schema};`).join("\n"));
    await job.provider.sql(tables.map((table) => `${table.providerDdl};`).join("\n"));
    for (const { firstRows } of tables) if (firstRows !== null) await sessions[0]!.try(firstRows);
    await job.subscriber.sql(tables.map((table) => `${table.subscriberDdl};`).join("\n"));
    await add(tables);

    const unfinished = [...wave.values()];
    const disturbances = random.shuffle<() => Promise<void>>([
      ...Array.from({ length: 2 }, () => async () => {
        await job.killReplay();
        job.startReplay();
        counts.kills++;
      }),
      async () => {
        await ticker.kill("SIGKILL");
        startTicker();
        counts.kills++;
      },
      async () => {
        const inSync = [...await job.states()].filter(([, state]) => state === "ok").map(([name]) => name);
        if (inSync.length === 0) return;
        await job.run("subscriber", "resync", "conf.ini", random.pick(inSync));
        counts.resyncs++;
      },
      async () => {
        const history = random.pick([...wave.values()]);
        const table = random.pick(history.tables);
        // Its triggers go, which waits for the table's transactions.
        await history.settle();
        await job.run("provider", "remove", "conf.ini", table.argument);
        if (!history.isOver) await history.step();
        await history.settle();
        await job.finished();
        await add([table]);
        counts.removals++;
      },
    ]);
    const stepsInAll = STEP_COUNT * wave.size;
    const moments = disturbances.map(() => random.int(0, stepsInAll - 1)).sort((a, b) => a - b);
    for (let step = 0; unfinished.length > 0; step++) {
      while (moments.length > 0 && moments[0]! <= step) {
        moments.shift();
        await disturbances.pop()!();
      }
      const at = random.int(0, unfinished.length - 1);
      await unfinished[at]!.step();
      if (unfinished[at]!.isOver) unfinished.splice(at, 1);
      // The ticker looks at once: a batch ends here, in the middle of whatever is under way.
      if (random.chance(0.05)) await job.provider.sql("select pg_notify('skyq_ticker', '')");
    }
    for (const history of wave.values()) await history.finish();
    if (job.replay.hasEnded) throw new Error(`The replay has ended: ${job.replay.stderr}`);
    await job.caughtUp(120_000);

    for (const [index, history] of wave) {
      counts.statements += history.log.length;
      counts.refused += history.log.filter((line) => / -- \w{5}$/.test(line)).length;
      for (const table of history.tables) {
        const difference = await compare(index, history, table);
        if (difference === null) continue;
        console.log(difference);
        differing.push(`${index}: ${table.argument}`);
      }
    }
    await noStrays();
    const names = tables.map((table) => table.argument);
    await job.run("provider", "remove", "conf.ini", ...names);
    await job.finished();
    for (const database of [job.provider, job.subscriber]) {
      await database.sql(`drop schema ${schemas.join(", ")} cascade`);
    }
  }

  /** Registers tables on both sides, each in its capture mode. */
  async function add(tables: readonly Table[]): Promise<void> {
    for (const mode of ["row", "statement"] satisfies CaptureMode[]) {
      const names = tables.filter((table) => table.capture === mode).map((table) => table.argument);
      if (names.length > 0) await job.run("provider", "add", "conf.ini", ...names, `--capture=${mode}`);
    }
    await job.run("subscriber", "add", "conf.ini", ...tables.map((table) => table.argument));
  }

  /** @returns all there is to know about the difference, null when there is none */
  async function compare(index: number, history: History, table: Table): Promise<string | null> {
    const columns = table.columns.map(({ name }) => name).sort();
    const rows = `set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set extra_float_digits = 3;
      select coalesce(string_agg(replace(row(${columns.map((column) => `t.${column}`).join(", ")})::text, E'\\n', '~'),
                                 E'\\n' order by row(${
      columns.join(", ")
    })::text collate "C"), '') from ${table.name} t`;
    const [here, there] = await Promise.all([job.provider.sql(rows), job.subscriber.sql(rows)]);
    if (here === there) return null;
    const [left, right] = [here, there].map((text) => text.split("\n"));
    return `History ${index} of seed ${random.seed}: ${table.name} differs
SKYQ_SEED=${random.seed} SKYQ_HISTORY=${index} runs it alone
${table.providerDdl}; -- capture ${table.capture}
${table.firstRows ?? ""}
${history.log.join("\n")}
only on the provider:
${left!.filter((line) => !right!.includes(line)).join("\n")}
only on the subscriber:
${right!.filter((line) => !left!.includes(line)).join("\n")}
${job.log.slice(-3000)}`;
  }

  /** Whatever copies, removals and kills leave for a time is gone. */
  async function noStrays(): Promise<void> {
    await waitFor(async () => (await job.otherConsumers()).length === 0, {
      what: "consumers of copies to be gone",
      timeoutMs: 120_000,
      pollMs: 200,
    });
    const strays = await job.subscriber.sql(
      `select 'consumer ' || consumer_name from pgq_node.get_consumer_info('q') where consumer_name <> 'job'
       union all select 'foreign key ' || fkey_name from londiste.pending_fkeys
       union all select 'index ' || table_name from londiste.table_info where dropped_ddl is not null
       union all select 'error ' || table_name || ': ' || error from skyq.copy_state where error is not null`,
    );
    expect(strays.trim()).toBe("");
  }
});

/** Unquoted: a name that has to be quoted. */
function schemaOf(index: number): string {
  return `History ${index}`;
}
