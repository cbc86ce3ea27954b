import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Cluster } from "../../harness/cluster.ts";
import { LentDatabase } from "../../harness/pair.ts";
import { QueueDatabase } from "./database.ts";

describe("rotation", () => {
  let cluster: Cluster;
  let db: QueueDatabase;
  beforeAll(async () => {
    // Any transaction anywhere on the server can hold a rotation up, so nobody else may be there.
    cluster = await Cluster.start({ name: "rotation" });
    await cluster.createDatabase("rotation");
    db = await QueueDatabase.create(new LentDatabase(cluster, "rotation"));
  });
  beforeEach(async () => {
    await db.rows("setup", "select pgq.create_queue('q')");
    await db.rows("setup", "update pgq.queue set queue_ticker_max_lag = '0', queue_ticker_idle_period = '0'");
    await db.rows("setup", "update pgq.queue set queue_rotation_period = '0'");
  });
  afterEach(() => db.reset());
  afterAll(async () => {
    await db.close();
    await cluster[Symbol.asyncDispose]();
  });

  const tick = () => db.value("ticker", "select pgq.ticker('q')");
  const step1 = () => db.value("maint", "select pgq.maint_rotate_tables_step1('q')");
  const step2 = () => db.value("maint", "select pgq.maint_rotate_tables_step2()");
  const currentTable = () => db.value("setup", "select queue_cur_table from pgq.queue");
  const insert = (name: string, data: string) => db.rows(name, `select pgq.insert_event('q', 't', '${data}')`);
  const rowCount = () => db.value("setup", "select count(*) from pgq.event_template");

  /** One whole rotation. @returns the table that is current then */
  async function rotate(): Promise<unknown> {
    await step1();
    await step2();
    return await currentTable();
  }

  /** Reads all batches of consumer `c`. */
  async function consume(): Promise<unknown[]> {
    const all: unknown[] = [];
    for (;;) {
      const id = await db.value("reader", "select pgq.next_batch('q', 'c')");
      if (id === null) return all;
      all.push(...(await db.rows("reader", `select ev_data from pgq.get_batch_events(${id})`)).flat());
      await db.rows("reader", `select pgq.finish_batch(${id})`);
    }
  }

  it("goes round the tables and empties each before it is used again", async () => {
    await insert("A", "a");
    expect([await rotate(), await rotate()]).toEqual([1, 2]);
    expect(await rowCount()).toBe(1);
    expect(await rotate()).toBe(0);
    expect(await rowCount()).toBe(0);
    expect(await db.value("setup", "select queue_switch_step2 > queue_switch_step1 from pgq.queue")).toBe(true);
  });

  it("waits for the period", async () => {
    await db.rows("setup", "update pgq.queue set queue_rotation_period = '1 hour'");
    expect(await rotate()).toBe(0);
    await db.rows("setup", "update pgq.queue set queue_switch_time = now() - interval '61 minutes'");
    expect(await rotate()).toBe(1);
  });

  it("does not wait for a clock that was set back by more than the period", async () => {
    await db.rows(
      "setup",
      "update pgq.queue set queue_rotation_period = '1 hour', queue_switch_time = now() + interval '59 m'",
    );
    expect(await rotate()).toBe(0);
    await db.rows("setup", "update pgq.queue set queue_switch_time = now() + interval '61 m'");
    expect(await db.rows("setup", "select func_name from pgq.maint_operations()")).toContainEqual([
      "pgq.maint_rotate_tables_step1",
    ]);
    expect(await rotate()).toBe(1);
    expect(await db.value("setup", "select queue_switch_time <= now() from pgq.queue")).toBe(true);
  });

  it("waits for the slowest consumer, and goes on when that is gone", async () => {
    await db.rows("setup", "select pgq.register_consumer('q', 'c')");
    await db.rows("setup", "select pgq.register_consumer('q', 'slow')");
    await rotate();
    await tick();
    await consume();
    const table = await currentTable();
    expect(await rotate()).toBe(table);
    await db.rows("setup", "select pgq.unregister_consumer('q', 'slow')");
    expect(await rotate()).not.toBe(table);
  });

  it("waits for whoever holds the next table, without waiting in line", async () => {
    await db.rows("dump", "begin");
    await db.rows("dump", "select * from pgq.event_template"); // locks all tables below as well
    expect(await step1()).toBe(0);
    expect(await currentTable()).toBe(0);
    await db.rows("dump", "commit");
    expect(await rotate()).toBe(1);
  });

  it("step 2 does nothing in the transaction of step 1", async () => {
    await db.rows("maint", "begin");
    await step1();
    await step2();
    await db.rows("maint", "commit");
    expect(await db.value("setup", "select queue_switch_step2 from pgq.queue")).toBe(null);
    await step2();
    expect(await db.value("setup", "select queue_switch_step2 is null from pgq.queue")).toBe(false);
  });

  it("is refused in a repeatable read transaction", async () => {
    await db.rows("maint", "begin isolation level repeatable read");
    expect(await db.error("maint", "select pgq.maint_rotate_tables_step1('q')")).toMatch(/is not READ COMMITTED/);
  });

  it("keeps ticks for more than a period, deletes them later", async () => {
    for (let round = 0; round < 4; round++) {
      await tick();
      await rotate();
    }
    const ticks = async () => (await db.rows("setup", "select tick_id::int4 from pgq.tick order by 1")).flat();
    expect(await ticks()).toEqual([5]);
    await tick();
    expect(await ticks()).toEqual([5, 6]);
    await rotate();
    expect(await ticks()).toEqual([6]);
  });

  it("fails when the consumer's tick is gone or the transaction counter went back", async () => {
    await db.rows("setup", "select pgq.register_consumer('q', 'c')");
    await tick();
    await db.rows("setup", "delete from pgq.tick where tick_id = 1");
    expect(await db.error("maint", "select pgq.maint_rotate_tables_step1('q')"))
      .toBe("queue q maint failure: tick 1 not found");
    await db.rows("setup", "update pgq.queue set queue_switch_step1 = 4000000000");
    expect(await db.error("maint", "select pgq.maint_rotate_tables_step1('q')"))
      .toMatch(/^queue q maint failure: step1=4000000000, current=\d+$/);
  });

  for (const rotationCount of [1, 2]) {
    it(`finds rows of a writer whose snapshot is ${rotationCount} rotations old`, async () => {
      await db.rows("setup", "select pgq.register_consumer('q', 'c')");
      await tick();
      await consume();
      await db.rows("R", "begin isolation level repeatable read");
      await db.rows("R", "select count(*) from pgq.queue");
      for (let round = 0; round < rotationCount; round++) {
        await rotate();
        await tick();
        await consume();
      }
      await insert("A", "a");
      await insert("R", "late 1");
      await tick();
      await insert("R", "late 2");
      expect(await consume()).toEqual(["a"]);
      await db.rows("R", "commit");
      expect(await currentTable()).toBe(rotationCount);
      await tick();
      expect(await consume()).toEqual(["late 1", "late 2"]);
    });
  }

  it("does not empty a table in which such rows are still unread", async () => {
    await db.rows("setup", "select pgq.register_consumer('q', 'c')");
    await db.rows("R", "begin isolation level repeatable read");
    await db.rows("R", "select count(*) from pgq.queue");
    for (let round = 0; round < 2; round++) {
      await tick();
      await consume();
      await rotate();
    }
    expect(await currentTable()).toBe(2);
    await tick();
    await consume();
    await insert("R", "late");
    await db.rows("R", "commit");
    expect(await rotate()).toBe(2); // table 0 has it
    await tick();
    expect(await consume()).toEqual(["late"]);
    expect(await rotate()).toBe(0);
  });

  it("a writer that took its id before the switch and its table after it is found", async () => {
    await db.rows("setup", "select pgq.register_consumer('q', 'c')");
    await tick();
    await consume();
    await db.rows("W", "begin");
    await db.rows("W", "select txid_current()");
    await rotate();
    await tick();
    await insert("W", "w");
    await db.rows("W", "commit");
    await tick();
    expect(await consume()).toEqual(["w"]);
  });

  it("current_event_table names a table that stays readable until the transaction ends", async () => {
    await db.rows("setup", "select pgq.register_consumer('q', 'c')");
    await tick();
    await consume();
    await db.rows("W", "begin");
    const table = await db.value("W", "select pgq.current_event_table('q')");
    await rotate();
    await tick();
    await consume();
    await db.rows("W", `insert into ${table} (ev_time, ev_data) values (now(), 'bulk')`);
    await db.rows("W", "commit");
    await tick();
    expect(await consume()).toEqual(["bulk"]);
  });
});
