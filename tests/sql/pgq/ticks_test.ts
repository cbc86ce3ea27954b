import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import vectors from "../../vectors/ticks.json" with { type: "json" };
import { Cluster } from "../../harness/cluster.ts";
import { LentDatabase } from "../../harness/pair.ts";
import { QueueDatabase } from "./database.ts";

interface Batch {
  prev_tick: number;
  tick: number;
  events: string[];
  ev_ids: number[];
  ev_retry?: (number | null)[];
  retried?: string[];
  uses_id_list?: boolean;
  tables_read?: number;
}

interface Step {
  conn: string;
  op: string;
  sql?: string;
  result?: unknown;
  data?: string;
  count?: number;
  consumer?: string;
  min_count?: number;
  limit?: number;
  finish?: boolean;
  retry?: string[];
  record_sql?: boolean;
  batches?: Batch[];
}

interface Scenario {
  name: string;
  description: string;
  hazard?: boolean;
  steps: Step[];
}

const scenarios = vectors.scenarios as unknown as Scenario[];

describe("batches of concurrent sessions", () => {
  let cluster: Cluster;
  let db: QueueDatabase;

  beforeAll(async () => {
    cluster = await Cluster.start({ name: "ticks", settings: { max_prepared_transactions: "5" } });
    await cluster.createDatabase("ticks");
    db = await QueueDatabase.create(new LentDatabase(cluster, "ticks"));
  });
  afterEach(() => db.reset());
  afterAll(async () => {
    await db.close();
    await cluster[Symbol.asyncDispose]();
  });

  async function setUp(): Promise<void> {
    for (const sql of vectors.setup) await db.rows("setup", sql);
  }

  for (const { name, steps, hazard } of scenarios) {
    if (hazard) continue;
    it(`${name} comes out as recorded`, async () => {
      await setUp();
      for (const [index, step] of steps.entries()) {
        const where = `${name}, step ${index}: ${step.sql ?? step.op}`;
        if (step.op === "consume") {
          expect(await consume(step), where).toEqual(step.batches);
        } else if (step.op === "burn_xids") {
          for (let left = step.count!; left > 0; left--) await db.rows(step.conn, step.sql!);
        } else {
          const value = await db.value(step.conn, step.sql!);
          if (step.result !== undefined) expect(value, where).toEqual(step.result);
        }
      }
    });
  }

  it("hazard_stale_ticker_snapshot: the old snapshot is refused, and nothing comes twice", async () => {
    const delivered = await play("hazard_stale_ticker_snapshot", async (step, index) => {
      if (step.conn !== "T1" || step.op !== "tick") return false;
      expect(index).toBe(5);
      expect(await db.error("T1", step.sql!)).toMatch(/snapshot may be older than tick 2/);
      return true;
    });
    expect(delivered.map((batch) => batch.events)).toEqual([["a1"], ["a2"]]);
  });

  it("hazard_rotation_repeatable_read_writer: its event is delivered", async () => {
    const delivered = await play("hazard_rotation_repeatable_read_writer", () => Promise.resolve(false));
    expect(delivered.map((batch) => batch.events)).toEqual([[], [], ["a1", "r1"]]);
  });

  /** Plays a scenario whose recorded outcome is not wanted. @returns all batches */
  async function play(name: string, instead: (step: Step, index: number) => Promise<boolean>): Promise<Batch[]> {
    await setUp();
    const batches: Batch[] = [];
    for (const [index, step] of scenarios.find((scenario) => scenario.name === name)!.steps.entries()) {
      if (await instead(step, index)) continue;
      if (step.op === "consume") batches.push(...await consume(step));
      else await db.rows(step.conn, step.sql!);
    }
    return batches;
  }

  async function consume(step: Step): Promise<Batch[]> {
    const { conn, consumer, min_count, limit = Infinity, finish = true, retry, record_sql } = step;
    const session = await db.session(conn);
    const batches: Batch[] = [];
    while (batches.length < limit) {
      const [next] = min_count === undefined
        ? await session.query("select * from pgq.next_batch_info('tq', $1)", [consumer!])
        : await session.query("select * from pgq.next_batch_custom('tq', $1, null, $2, null)", [consumer!, min_count]);
      if (next!.batch_id === null) break;
      const id = next!.batch_id;
      const events = await session.query("select * from pgq.get_batch_events($1)", [id]);
      const batch: Batch = {
        prev_tick: Number(next!.prev_tick_id),
        tick: Number(next!.cur_tick_id),
        events: events.map((event) => event.ev_data),
        ev_ids: events.map((event) => Number(event.ev_id)),
      };
      if (events.some((event) => event.ev_retry !== null)) batch.ev_retry = events.map((event) => event.ev_retry);
      const again = events.filter((event) => retry?.includes(event.ev_data));
      for (const { ev_id } of again) await session.query("select pgq.event_retry($1, $2::int8, 0)", [id, ev_id]);
      if (again.length > 0) batch.retried = again.map((event) => event.ev_data);
      if (record_sql) {
        const [{ sql }] = await session.query("select pgq.batch_event_sql($1) as sql", [id]) as [{ sql: string }];
        const tables = await session.query("select * from pgq.batch_event_tables($1)", [id]);
        batch.uses_id_list = /ev_txid in \(/.test(sql);
        batch.tables_read = tables.length;
      }
      batches.push(batch);
      if (finish) await session.query("select pgq.finish_batch($1)", [id]);
    }
    return batches;
  }

  it("each committed event is delivered once while many sessions write, tick and rotate", async () => {
    await setUp();
    await db.rows("setup", "update pgq.queue set queue_rotation_period = '0'");
    await db.rows("setup", "select pgq.register_consumer('tq', 'c')");
    const committed: string[] = [];
    const delivered: string[] = [];
    let isWriting = true;

    const write = async (name: string, isolation: string) => {
      for (let tx = 0; tx < 60; tx++) {
        await db.rows(name, `begin isolation level ${isolation}`);
        if (tx % 2 === 0) await db.rows(name, "select 1 from pgq.queue"); // takes the snapshot before the id
        const data = [`${name}.${tx}.1`, `${name}.${tx}.2`];
        for (const value of data) {
          await db.rows(name, `select pgq.insert_event('tq', 't', '${value}')`);
          if (tx % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
        }
        const isKept = tx % 5 !== 0;
        await db.rows(name, isKept ? "commit" : "rollback");
        if (isKept) committed.push(...data);
      }
    };
    const tick = async (name: string) => {
      while (isWriting) await db.rows(name, "select pgq.ticker('tq')");
    };
    const tablesSeen = new Set<unknown>();
    const rotate = async () => {
      while (isWriting) {
        await db.rows("maint", "select pgq.maint_rotate_tables_step1('tq')");
        tablesSeen.add(await db.value("maint", "select queue_cur_table from pgq.queue"));
        await db.rows("maint", "select pgq.maint_rotate_tables_step2()");
      }
    };
    const read = async () => {
      for (const batch of await consume({ conn: "reader", op: "consume", consumer: "c" })) {
        expect(batch.ev_ids).toEqual([...batch.ev_ids].sort((a, b) => a - b));
        delivered.push(...batch.events);
      }
    };

    const writers = Promise.all([
      write("A", "read committed"),
      write("B", "read committed"),
      write("R", "repeatable read"),
    ]).finally(() => isWriting = false);
    const reader = (async () => {
      while (isWriting) await read();
    })();
    await Promise.all([writers, tick("T1"), tick("T2"), rotate(), reader]);
    await db.rows("T1", "select pgq.ticker('tq')");
    await read();

    expect(delivered.toSorted()).toEqual(committed.toSorted());
    expect(tablesSeen.size).toBe(3);
  });
});
