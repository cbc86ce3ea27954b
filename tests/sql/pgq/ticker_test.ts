import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { waitFor } from "../../harness/wait_for.ts";
import { QueueDatabase } from "./database.ts";

describe("ticking", () => {
  let db: QueueDatabase;
  beforeAll(async () => {
    db = await QueueDatabase.create();
  });
  beforeEach(() => db.rows("setup", "select pgq.create_queue('q')").then(() => {}));
  afterEach(() => db.reset());
  afterAll(() => db.close());

  const always = () =>
    db.rows("setup", "update pgq.queue set queue_ticker_max_lag = '0', queue_ticker_idle_period = '0'");
  const insert = () => db.rows("setup", "select pgq.insert_event('q', 't', 'd')");
  const tick = () => db.value("ticker", "select pgq.ticker('q')");

  /** Makes the ticks of `q` as old as said, oldest first. */
  async function ticksAt(...ages: string[]): Promise<void> {
    await db.rows("setup", "delete from pgq.tick");
    for (const age of ages) {
      await db.rows(
        "setup",
        `insert into pgq.tick (tick_queue, tick_id, tick_time, tick_event_seq)
         select queue_id, nextval(queue_tick_seq::regclass), now() - interval '${age}', pgq.seq_getval(queue_event_seq)
           from pgq.queue where queue_name = 'q'`,
      );
    }
  }

  it("waits for the number of events or for the lag of the first", async () => {
    await insert(); // the first event of a queue is not counted
    await insert();
    expect(await tick()).toBe(null);
    await db.rows("setup", "select pgq.set_queue_config('q', 'ticker_max_count', '1')");
    expect(await tick()).toBe(2);
    await db.rows("setup", "select pgq.set_queue_config('q', 'ticker_max_count', '500')");
    await ticksAt("2 seconds");
    await insert();
    expect(await tick()).toBe(null);
    await ticksAt("4 seconds");
    await insert();
    expect(await tick()).toBe(5);
  });

  it("does not let the first event of a queue wait for the idle period", async () => {
    await ticksAt("5 hours", "4 seconds");
    expect(await tick()).toBe(null);
    await insert();
    expect(await tick()).not.toBe(null);
    // Its tick is there: all is idle again, whatever the sequence says.
    await ticksAt("5 hours", "4 seconds");
    expect(await tick()).toBe(null);
    // A value of the sequence that became no event is none.
    await db.rows("setup", "select pgq.drop_queue('q'), pgq.create_queue('q')");
    await ticksAt("5 hours", "4 seconds");
    await db.rows("setup", "select nextval(q.queue_event_seq::regclass) from pgq.queue q");
    expect(await tick()).toBe(null);
  });

  it("slows down on an idle queue until the idle period", async () => {
    for (
      const [ages, ticks] of [
        [["1 second"], true], // only one: nothing to compare with
        [["9 seconds", "1 second"], false], // half the lag is not over
        [["3 seconds", "2.2 seconds"], true], // the pause was 0.8 s, now it is more than twice that
        [["5 seconds", "2 seconds"], false], // the pause was 3 s
        [["20 seconds", "14 seconds"], true],
        [["5 hours", "59 seconds"], false],
        [["5 hours", "61 seconds"], true], // the idle period ends it
      ] as [string[], boolean][]
    ) {
      await ticksAt(...ages);
      expect([ages, await tick() !== null]).toEqual([ages, ticks]);
    }
  });

  it("does not wait for a clock that was set back", async () => {
    for (const hasEvents of [true, false]) {
      await ticksAt("5 seconds", "-1 hour");
      if (hasEvents) await insert();
      const made = await tick();
      expect([hasEvents, made !== null]).toEqual([hasEvents, true]);
      // From then on all is as ever.
      if (hasEvents) await insert();
      expect(await tick()).toBe(null);
    }
  });

  it("says when the transaction counter went back", async () => {
    await always();
    await db.rows("setup", "update pgq.tick set tick_snapshot = '4000000000:4000000001:'");
    expect(await db.error("ticker", "select pgq.ticker('q')"))
      .toMatch(/^Invalid PgQ state: old xmin=4000000000, old xmax=4000000001, cur txid=\d+$/);
    // Not as far: events of transactions below the old xmax would be lost.
    await db.rows("setup", "update pgq.tick set tick_snapshot = '10:4000000001:'");
    expect(await db.error("ticker", "select pgq.ticker('q')")).toMatch(/snapshot is older than that of tick 1$/);
    expect(db.warnings.at(-1)).toMatch(/^Dubious PgQ state: old xmax=4000000001, cur txid=\d+$/);
  });

  it("an error in one queue leaves the others alone", async () => {
    await db.rows("setup", "select pgq.create_queue('a'), pgq.create_queue('z')");
    await always();
    await db.rows(
      "setup",
      `update pgq.tick set tick_snapshot = '4000000000:4000000000:'
        where tick_queue = (select queue_id from pgq.queue where queue_name = 'q')`,
    );
    expect(await db.value("ticker", "select pgq.ticker()")).toBe(2);
    expect(db.warnings).toEqual([expect.stringMatching(/^Cannot tick queue "q": Invalid PgQ state/)]);
  });

  it("ids are ordered as snapshots, however many tick at the same time", async () => {
    await always();
    const loop = async (name: string, begin: string, count: number) => {
      for (let left = count; left > 0; left--) {
        await db.rows(name, begin);
        await db.rows(name, "select pgq.ticker('q')");
        await db.rows(name, "select pgq.insert_event('q', 't', 'd')");
        await db.rows(name, "commit");
      }
    };
    await Promise.all(["T1", "T2", "T3", "T4"].map((name) => loop(name, "begin", 40)));
    const disorder = await db.rows(
      "setup",
      `select a.tick_id, b.tick_id from pgq.tick a, pgq.tick b
        where a.tick_id < b.tick_id
          and (txid_snapshot_xmin(a.tick_snapshot) > txid_snapshot_xmin(b.tick_snapshot)
               or txid_snapshot_xmax(a.tick_snapshot) > txid_snapshot_xmax(b.tick_snapshot)
               or exists (select 1 from generate_series(txid_snapshot_xmin(a.tick_snapshot),
                                                        txid_snapshot_xmax(b.tick_snapshot)) x
                           where txid_visible_in_snapshot(x, a.tick_snapshot)
                             and not txid_visible_in_snapshot(x, b.tick_snapshot)))`,
    );
    expect(disorder).toEqual([]);
    // Some calls find a tick of a transaction that began after their own and make none.
    expect(await db.value("setup", "select count(*) from pgq.tick")).toBeGreaterThan(100);
  });

  it("does not see the transaction it is made in, also when a later one has ended", async () => {
    await always();
    await db.rows("slow", "begin");
    const own = await db.value("slow", "select txid_current()");
    await db.rows("setup", "select txid_current()");
    const tick = await db.value("slow", "select pgq.ticker('q')");
    await db.rows("slow", "select pgq.insert_event('q', 't', 'after the tick')");
    await db.rows("slow", "commit");
    expect(
      await db.value(
        "setup",
        `select txid_visible_in_snapshot(${own}, t.tick_snapshot) from pgq.tick t where t.tick_id = ${tick}`,
      ),
    ).toBe(false);
  });

  it("a tick in an open transaction does not hold up other tickers", async () => {
    await always();
    await db.rows("slow", "begin");
    await db.rows("slow", "select pgq.ticker('q')");
    expect(await tick()).toBe(3);
    await db.rows("slow", "rollback");
    expect(await tick()).toBe(4);
  });

  it("a repeatable read transaction may tick while no tick can hide from it", async () => {
    await always();
    await db.rows("ticker", "begin isolation level repeatable read");
    expect(await tick()).toBe(2);
    await db.rows("ticker", "commit");
    await db.rows("slow", "begin");
    await db.rows("slow", "select pgq.ticker('q')");
    await db.rows("ticker", "begin isolation level repeatable read");
    expect(await db.error("ticker", "select pgq.ticker('q')")).toMatch(/may be older than tick 3$/);
    await db.rows("ticker", "rollback");
  });

  it("a cancelled ticker leaves no lock behind", async () => {
    await always();
    await db.rows("holder", "begin");
    await db.rows(
      "holder",
      "select pg_advisory_xact_lock(1885827444, queue_id) from pgq.queue where queue_name = 'q'",
    );
    const { processId } = await db.session("ticker");
    const cancelled = db.error("ticker", "select pgq.ticker('q')");
    await waitFor(async () => {
      const waits = await db.value("setup", `select wait_event from pg_stat_activity where pid = ${processId}`);
      return waits === "advisory";
    }, { what: "the ticker to wait for the lock" });
    await db.rows("setup", `select pg_cancel_backend(${processId})`);
    expect(await cancelled).toMatch(/canceling statement/);
    await db.rows("holder", "commit");
    const left = `select count(*) from pg_locks join pg_database d on d.oid = database
                   where locktype = 'advisory' and datname = current_database()`;
    expect(await db.value("setup", left)).toBe(0);
    expect(await tick()).toBe(2);
  });
});
