/** A transaction that stays open keeps all dead rows: what every batch writes and reads must not walk them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { QueueDatabase } from "./database.ts";

const BATCH_COUNT = 1_500;
const CONSUMERS = ["a", "c", "z"];

/** Ticks, opens, reads and finishes `count` batches of each consumer, each step in a transaction of its own. */
const batches = (count: number) => `
  do $$
  declare
    v_batch bigint;
    v_name text;
  begin
    for v_round in 1 .. ${count} loop
      perform pgq.insert_event('q', 't', 'd');
      commit;
      perform pgq.ticker('q');
      commit;
      foreach v_name in array '{${CONSUMERS.join(",")}}'::text[] loop
        v_batch := pgq.next_batch('q', v_name);
        commit;
        perform pgq.batch_event_sql(v_batch);
        perform pgq.finish_batch(v_batch);
        commit;
        perform pgq_node.set_consumer_completed('q', v_name, v_round);
        commit;
      end loop;
    end loop;
  end $$`;

describe("while a snapshot is held", () => {
  let db: QueueDatabase;

  /** How many blocks the server looks at for each of these calls, made in a session that has made them often before. */
  async function blocks(): Promise<Record<string, number>> {
    const seen: Record<string, number> = {};
    const look = async (name: string, call: string) => {
      const [[plan]] = await db.rows("caller", `explain (analyze, buffers, format json) select ${call}`) as [[unknown]];
      const [{ Plan: top }] = (typeof plan === "string" ? JSON.parse(plan) : plan) as [
        { Plan: Record<string, number> },
      ];
      seen[name] = top["Shared Hit Blocks"]! + top["Shared Read Blocks"]!;
    };
    await db.rows("caller", "select pgq.insert_event('q', 't', 'd')");
    await look("ticker", "pgq.ticker('q')");
    await look("next_batch", "pgq.next_batch('q', 'c')");
    const batch = await db.value("caller", "select sub_batch from pgq.subscription where sub_batch is not null");
    await look("batch_event_sql", `pgq.batch_event_sql(${batch})`);
    await look("get_batch_info", `pgq.get_batch_info(${batch})`);
    await look("finish_batch", `pgq.finish_batch(${batch})`);
    await look("set_consumer_completed", "pgq_node.set_consumer_completed('q', 'c', 1)");
    await look("get_consumer_state", "pgq_node.get_consumer_state('q', 'c')");
    return seen;
  }

  beforeAll(async () => {
    db = await QueueDatabase.create();
    await db.rows("setup", "select pgq.create_queue('q')");
    await db.rows("setup", "update pgq.queue set queue_ticker_max_lag = '0', queue_ticker_max_count = 1");
    await db.rows("setup", "select pgq_node.register_location('q', 'n', 'dbname=n', false)");
    await db.rows("setup", "select pgq_node.create_node('q', 'root', 'n', 'w', null, null, null)");
    for (const name of CONSUMERS) {
      await db.rows("setup", `select pgq.register_consumer('q', '${name}')`);
      await db.rows("setup", `select pgq_node.register_consumer('q', '${name}', 'n', 0)`);
    }
    await db.rows("holder", "begin isolation level repeatable read");
    await db.rows("holder", "select txid_current()");
  });
  afterAll(() => db.close());

  it("a batch costs the same after thousands of others, and its tables stay small", async () => {
    // The caller's plans are made while the tables are small, as those of a replay that has run for long.
    await db.rows("caller", batches(20));
    const before = await blocks();
    await db.rows("caller", batches(BATCH_COUNT));
    const after = await blocks();
    for (const [name, count] of Object.entries(before)) {
      expect(after[name], `${name}, ${count} blocks before`).toBeLessThan(count + 40);
    }
    // An update each for opening and finishing, one for the node's position, one tick: bytes of a version, its index
    // entries and the table's own pages.
    const rowCount = BATCH_COUNT * CONSUMERS.length;
    const [sizes] = await db.rows(
      "setup",
      `select pg_total_relation_size('pgq.subscription') / ${2 * rowCount} as subscription,
              pg_total_relation_size('pgq.tick') / ${BATCH_COUNT} as tick,
              pg_total_relation_size('pgq_node.local_state') / ${rowCount} as state`,
    );
    const bytesMax = [100, 200, 120];
    expect(sizes!.map(Number).filter((bytes, index) => bytes > bytesMax[index]!), String(sizes)).toEqual([]);
  });

  it("two consumers that work under one name do not open a batch twice", async () => {
    await db.rows("A", "select pgq.insert_event('q', 't', 'd')");
    await db.rows("A", "select pgq.ticker('q')");
    await db.rows("A", "begin");
    const batch = await db.value("A", "select pgq.next_batch('q', 'c')");
    const other = db.value("B", "select pgq.next_batch('q', 'c')");
    await db.rows("A", "commit");
    expect(await other).toBe(batch);
    await db.rows("A", "begin");
    expect(await db.value("A", `select pgq.finish_batch(${batch})`)).toBe(1);
    const again = db.value("B", `select pgq.finish_batch(${batch})`);
    await db.rows("A", "commit");
    expect(await again).toBe(0);
    expect(db.warnings).toEqual([`finish_batch: batch ${batch} not found`]);
  });

  it("a batch id that is in use is not given out again after the sequence was set back", async () => {
    await db.rows("setup", "select pgq.insert_event('q', 't', 'd')");
    await db.rows("setup", "select pgq.ticker('q')");
    const first = await db.value("setup", "select pgq.next_batch('q', 'a')") as number;
    await db.rows("setup", `select setval('pgq.batch_id_seq', ${first - 1})`);
    expect(await db.value("setup", "select pgq.next_batch('q', 'z')")).toBe(first + 1);
  });
});
