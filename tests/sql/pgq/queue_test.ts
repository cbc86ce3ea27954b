import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { pair } from "../../harness/pair.ts";
import { QueueDatabase } from "./database.ts";

describe("queues", () => {
  let db: QueueDatabase;
  beforeAll(async () => {
    db = await QueueDatabase.create();
  });
  beforeEach(async () => {
    await db.rows("setup", "select pgq.create_queue('q')");
    await db.rows("setup", "update pgq.queue set queue_ticker_max_lag = '0', queue_ticker_idle_period = '0'");
    await db.rows("setup", "select pgq.register_consumer('q', 'c')");
  });
  afterEach(() => db.reset());
  afterAll(() => db.close());

  it("run on the major version that the test run asks for", async () => {
    const { provider } = await pair();
    const number = Number(await db.value("setup", "show server_version_num"));
    expect(Math.floor(number / 10000)).toBe(provider.major);
  });

  it("created by two sessions at once exist once", async () => {
    await db.rows("A", "begin");
    expect(await db.value("A", "select pgq.create_queue('twin')")).toBe(1);
    await db.session("B");
    const second = db.value("B", "select pgq.create_queue('twin')");
    await db.rows("A", "commit");
    expect(await second).toBe(0);
    expect(
      await db.value(
        "setup",
        "select count(*) from pgq.tick t join pgq.queue q on queue_id = tick_queue " +
          "where queue_name = 'twin'",
      ),
    ).toBe(1);
  });

  it("two processes under one consumer name get the same batch", async () => {
    await db.rows("setup", "select pgq.ticker('q')");
    await db.rows("A", "begin");
    const first = await db.value("A", "select pgq.next_batch('q', 'c')");
    await db.session("B");
    const second = db.value("B", "select pgq.next_batch('q', 'c')");
    await db.rows("A", "commit");
    expect(await second).toBe(first);
  });

  it("a limit per transaction counts the events that stay", async () => {
    await db.rows("setup", "update pgq.queue set queue_per_tx_limit = 2");
    const insert = () => db.rows("A", "select pgq.insert_event('q', 't', 'd')");
    await db.rows("A", "begin");
    await insert();
    await db.rows("A", "savepoint s");
    await insert();
    await db.rows("A", "rollback to s");
    await insert();
    expect(await db.error("A", "select pgq.insert_event('q', 't', 'd')")).toBe(
      "Queue 'q' allows max 2 events from one TX",
    );
    await db.rows("A", "rollback");
    await insert(); // autocommit: each has its own count
    await insert();
    await insert();
  });

  it("a cursor goes on where its first rows ended", async () => {
    for (const data of ["a", "b", "c", "d"]) await db.rows("setup", `select pgq.insert_event('q', 't', '${data}')`);
    await db.rows("setup", "select pgq.ticker('q')");
    const id = await db.value("reader", "select pgq.next_batch('q', 'c')");
    await db.rows("reader", "begin");
    const first = await db.rows(
      "reader",
      `select ev_data from pgq.get_batch_cursor(${id}, 'walker', 2, $$ev_data <> 'b'$$)`,
    );
    const rest = await (await db.session("reader")).query("fetch 10 from walker");
    await db.rows("reader", "rollback");
    expect([...first.flat(), ...rest.map((row) => row.ev_data)]).toEqual(["a", "c", "d"]);
    expect(Object.keys(rest[0]!)).toEqual([
      ...["ev_id", "ev_time", "ev_txid", "ev_retry", "ev_type", "ev_data"],
      ...["ev_extra1", "ev_extra2", "ev_extra3", "ev_extra4"],
    ]);
  });

  it("retried events come ten at a time, when their time has come, to their consumer alone", async () => {
    await db.rows("setup", "select pgq.register_consumer('q', 'other')");
    await db.rows("setup", "select pgq.insert_event('q', 't', i::text) from generate_series(1, 25) i");
    await db.rows("setup", "select pgq.ticker('q')");
    const id = await db.value("reader", "select pgq.next_batch('q', 'c')");
    expect(await db.value("reader", `select pgq.event_retry(${id}, 1, 3600)`)).toBe(1);
    expect(await db.value("reader", `select pgq.batch_retry(${id}, 0)`)).toBe(24);
    await db.rows("reader", `select pgq.finish_batch(${id})`);
    const moved = [];
    for (let round = 0; round < 4; round++) moved.push(await db.value("maint", "select pgq.maint_retry_events()"));
    expect(moved).toEqual([10, 10, 4, 0]);
    await db.rows("setup", "select pgq.ticker('q')");
    for (const [consumer, count] of [["c", 24], ["other", 0]] as const) {
      if (consumer === "other") {
        const old = await db.value("reader", "select pgq.next_batch('q', 'other')");
        await db.rows("reader", `select pgq.finish_batch(${old})`);
      }
      const batch = await db.value("reader", `select pgq.next_batch('q', '${consumer}')`);
      expect(await db.value("reader", `select count(*) from pgq.get_batch_events(${batch})`)).toBe(count);
    }
  });

  it("a dropped queue leaves nothing behind, neither tables nor maintenance", async () => {
    await db.rows("setup", "select pgq.drop_queue('q', true)");
    const left = await db.rows("setup", "select oid::regclass::text from pg_class where relname ~ '^event_[0-9]'");
    expect(left).toEqual([]);
    expect(await db.rows("setup", "select * from pgq.maint_operations()")).toEqual([]);
  });
});
