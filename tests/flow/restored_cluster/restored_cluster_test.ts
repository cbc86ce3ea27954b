/**
 * A dump was restored into a cluster whose transaction counter is lower. What the new cluster writes bears ids that the
 * newest tick counts as delivered: that is said, and nothing is lost.
 */
import { expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

/** How far the counter went back: more than other tests use up meanwhile. */
const GAP = 40_000;

/** Makes a queue look as if it came out of a dump of a cluster that was `GAP` transactions ahead. */
const AS_RESTORED = `
  update pgq.tick t set tick_snapshot = (
    (txid_snapshot_xmin(t.tick_snapshot) + ${GAP}) || ':' || (txid_snapshot_xmax(t.tick_snapshot) + ${GAP}) || ':'
    || coalesce((select string_agg((x + ${GAP})::text, ',' order by x) from txid_snapshot_xip(t.tick_snapshot) x), '')
  )::txid_snapshot;
  update pgq.event_template set ev_txid = ev_txid + ${GAP};
  update pgq.queue set queue_switch_step1 = queue_switch_step1 + ${GAP}, queue_switch_step2 = queue_switch_step2 + ${GAP};
  update skyq.setting set value = 'another/1' where key = 'ticked_in_cluster';`;

async function useUp(database: LentDatabase, count: number): Promise<void> {
  await database.sql(`do $$ begin for i in 1 .. ${count} loop perform txid_current(); commit; end loop; end $$`);
}

it("a restore into a cluster with lower transaction ids is named, and nothing is lost", async () => {
  const [provider, subscriber] = await lendDatabases(2);
  await using job = new Job({ provider, subscriber });
  for (const database of [provider, subscriber]) await database.sql("create table t (id int primary key, v text)");
  await job.install();
  job.startReplay();
  await job.add("t");
  await provider.sql("insert into t values (1, 'ticked in the old cluster')");
  await job.caughtUp();
  await job.killReplay();
  await provider.sql("insert into t values (2, 'written in the old cluster, not ticked')");

  await provider.sql(AS_RESTORED);
  await provider.sql("select pg_sleep(1.1)"); // nobody restores a dump within a second
  await provider.sql("insert into t values (3, 'written in the new cluster')");
  job.startReplay();
  await waitFor(() => /Cannot tick queue "q": the server's transaction ids are \d+ behind/.test(job.log), {
    what: "the ticker to say what is wrong",
  });
  await waitFor(() => /ERROR Queue "q" gives nothing: the server's transaction ids are \d+ behind/.test(job.log), {
    what: "the replay to say what is wrong",
  });
  expect(job.log).toContain("pg_resetwal -e EPOCH");
  expect(await job.run("queue", "status", "ticker.ini")).toMatch(
    /transaction ids are \d+ behind those of the newest tick/,
  );
  await waitFor(
    async () => (await subscriber.sql("select cur_error from pgq_node.local_state")).includes("gives nothing"),
    { what: "the node's error to be stored" },
  );

  await useUp(provider, GAP);
  await provider.sql("insert into t values (4, 'written when the counter had passed')");
  await job.finished();
  expect(await job.differences("t")).toEqual([]);
  expect(job.log).toMatch(/WARNING .*\d+ events of queue "q" were written while transaction ids were behind/);
  expect(await job.run("queue", "status", "ticker.ini")).not.toContain("transaction ids");
  // It is noted where the database is now, and nothing is mended twice.
  expect((await provider.sql("select skyq.cluster_changed()")).trim()).toBe("f");
  expect((await provider.sql("select skyq.mend_transaction_ids('q')")).trim()).toBe("0");
});
