import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { waitFor } from "../../harness/wait_for.ts";
import { QueueDatabase } from "../pgq/database.ts";

describe("pgq_node.demote_root()", () => {
  let db: QueueDatabase;
  beforeAll(async () => {
    db = await QueueDatabase.create();
    for (const node of ["n1", "n2"]) {
      await db.rows("setup", `select pgq_node.register_location('q', '${node}', 'dbname=${node}', false)`);
    }
    await db.rows("setup", "select pgq_node.create_node('q', 'root', 'n1', 'n1_worker', null, null, null)");
  });
  afterAll(() => db.close());

  const demote = (step: number) => db.rows("admin", `select * from pgq_node.demote_root('q', ${step}, 'n2')`);

  it("waits in step 2 for writers, so that the last tick covers all they wrote", async () => {
    await db.rows("setup", "select pgq.register_consumer('q', 'c')");
    await db.rows("setup", "select pgq.set_queue_config('q', 'ticker_paused', 'true')");
    await db.rows("writer", "begin");
    await db.rows("writer", "select pgq.insert_event('q', 't', 'in time')");
    await demote(1);
    expect(await db.error("late", "select pgq.insert_event('q', 't', 'late')")).toBe("Insert into queue disallowed");

    const { processId } = await db.session("admin");
    const step2 = demote(2);
    await waitFor(
      async () =>
        await db.value("setup", `select wait_event_type from pg_stat_activity where pid = ${processId}`) === "Lock",
      { what: "step 2 to wait for the writer" },
    );
    await db.rows("writer", "commit");
    const [[code, note, lastTick]] = await step2 as [[number, string, bigint]];
    expect([code, note]).toEqual([200, "Step 2: Inserted last tick: q"]);

    const [[id, tick]] = await db.rows("reader", "select batch_id, cur_tick_id from pgq.next_batch_info('q', 'c')") as [
      [bigint, bigint],
    ];
    expect(tick).toBe(lastTick);
    const events = await db.rows("reader", `select ev_data from pgq.get_batch_events(${id}) where ev_type = 't'`);
    expect(events).toEqual([["in time"]]);
    // The root's worker stays where it is until it has a provider.
    expect(await db.value("setup", "select last_tick_id from pgq_node.local_state")).toBe(1);
    // Somebody paused the ticker; that has not changed.
    expect(await db.value("setup", "select queue_ticker_paused from pgq.queue")).toBe(true);

    expect(await demote(3)).toEqual([[200, "Step 3: Demoted root to branch: q", lastTick]]);
    expect(await db.value("setup", "select pgq_node.is_root_node('q')")).toBe(false);
    expect(await db.rows("setup", "select provider_node, last_tick_id from pgq_node.local_state"))
      .toEqual([["n2", lastTick]]);
  });

  it("a promoted branch ticks on after its last tick", async () => {
    await db.rows("setup", "select pgq_node.promote_branch('q')");
    await db.rows("setup", "select pgq.set_queue_config('q', 'ticker_paused', 'false')");
    await db.rows("setup", "update pgq.queue set queue_ticker_max_lag = '0', queue_ticker_idle_period = '0'");
    const last = await db.value("setup", "select max(tick_id) from pgq.tick");
    await db.rows("late", "select pgq.insert_event('q', 't', 'new root')");
    expect(await db.value("setup", "select pgq.ticker('q')")).toBe(Number(last) + 1);
  });
});
