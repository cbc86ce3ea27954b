/** Ticks of two tickers may become visible in another order than that of their ids: both sides still meet at one. */
import { expect, it } from "vitest";
import postgres from "postgres";
import { lendDatabases } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

it("a copy that holds a batch beyond the one where the replay waits takes a shorter one", async () => {
  const [provider, subscriber] = await lendDatabases(2);
  await using job = new Job({ provider, subscriber, settings: { ticker: "off" } });
  for (const database of [provider, subscriber]) await database.sql("create table t (id int primary key)");
  await job.install();
  await provider.sql("insert into t select generate_series(1, 100)");
  await provider.sql(`select pgq.set_queue_config('q', 'ticker_max_lag', '0'),
    pgq.set_queue_config('q', 'ticker_max_count', '1'), pgq.set_queue_config('q', 'ticker_idle_period', '0')`);
  const tick = () => provider.sql("select pgq.ticker('q')");
  job.startReplay();
  await job.add("t");
  await waitFor(async () => {
    const state = (await job.states()).get("public.t") ?? "";
    if (state.startsWith("wanna-sync")) return true;
    await tick();
    return false;
  }, { what: "the copy to wait for the replay", pollMs: 200, timeoutMs: 120_000 });
  await subscriber.sql("select pgq_node.set_consumer_paused('q', 'job', true)");
  await new Promise((resolve) => setTimeout(resolve, 2_000)); // the round that is under way

  const { host, port, superuser: user } = provider.cluster;
  const slow = postgres({ host, port, user, database: provider.name, max: 1, onnotice: () => {} });
  try {
    await slow.unsafe("begin; insert into t values (101); select pgq.ticker('q')");
    await tick();
    await waitFor(async () =>
      (await provider.sql(`select 1 from pgq.get_consumer_info('q') c
        where c.consumer_name not in ('${job.name}') and c.consumer_name not like '.%' and c.current_batch is not null`)) !==
        "", { what: "the copy to take the later tick" });
    await slow.unsafe("commit");
  } finally {
    await slow.end({ timeout: 1 });
  }
  await subscriber.sql("select pgq_node.set_consumer_paused('q', 'job', false)");
  await waitFor(async () => {
    await tick();
    return (await job.states()).get("public.t") === "ok";
  }, { what: "the table to be handed over", pollMs: 200, timeoutMs: 120_000 });
  await tick();
  await waitFor(async () => (await job.differences("t")).length === 0, { what: "both sides to be equal" });
  expect(job.log).not.toContain("Invalid table state");
});
