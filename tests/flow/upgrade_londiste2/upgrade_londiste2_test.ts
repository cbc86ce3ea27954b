/** A pair of Londiste 2.1 changes hands under load, with kill -9 of the upgrade between its two commits, and back. */
import { describe, expect, it } from "vitest";
import { spawnSkyq } from "../../harness/process.ts";
import { lendDatabases } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate } from "../gate.ts";
import { Job } from "../job.ts";
import { Writer } from "../writer.ts";
import { Replay2, Ticker2 } from "./daemon2.ts";
import {
  allowPlainRole,
  change,
  commitGate,
  copied,
  copyTable,
  equal,
  makeProvider,
  makeSubscriber,
  PLAIN_ROLE,
  register,
  schemas,
  TABLES,
  triggersOf,
} from "./pair2.ts";

describe("upgrade of Londiste 2.1", () => {
  it("carries everything over, is finished after kill -9 between the sides, and is undone", async () => {
    const [provider, subscriber] = await lendDatabases(2);
    const pair = { provider, subscriber };
    await allowPlainRole(provider);
    await allowPlainRole(subscriber);
    await makeProvider(provider, ["job"], { role: PLAIN_ROLE });
    await makeSubscriber(subscriber, PLAIN_ROLE);
    await using _ticker = new Ticker2(provider);
    await using job = new Job({
      ...pair,
      settings: {
        provider_db: provider.dsn(PLAIN_ROLE),
        subscriber_db: subscriber.dsn(PLAIN_ROLE),
        ticker: "off",
        exception_sleep: "1",
      },
    });
    await using writer = new Writer(provider, change);
    await register(pair, "synced", "child", "narrow", "meeting", "fresh");
    for (const table of ["synced", "child", "narrow"]) await copyTable(pair, table, "ok");
    {
      await using replay = new Replay2(pair, { queue: "q", consumer: "job" });
      await replay.finished();

      const refused = await job.try("upgrade", "conf.ini");
      expect({ code: refused.code, stderr: refused.stderr }).toEqual({
        code: 6,
        stderr: expect.stringMatching(/Londiste still works on it \(job\)/),
      });
      // It dies with a batch that is applied and not finished.
      replay.dieBeforeFinish = true;
      await waitFor(() => replay.isDead, { what: "the replay to die" });
    }
    // A copy that has loaded its rows, and waits for the replay.
    await provider.sql("select pgq.register_consumer('q', 'job_copy')");
    await copyTable(pair, "meeting", "wanna-sync:1000000");
    await provider.sql(
      `insert into pgq.failed_queue (ev_failed_reason, ev_failed_time, ev_id, ev_time, ev_owner, ev_type)
      select 'bad', now(), 1, now(), sub_id, 'X' from pgq.subscription limit 1`,
    );
    const before = [await schemas(provider), await schemas(subscriber)];

    const dryRun = await job.try("upgrade", "conf.ini", "--dry-run");
    expect({ code: dryRun.code, stderr: dryRun.stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(
        /Position: tick \d+[^]*3 ok, 1 catching-up, 1 to be copied[^]*Sequences: 1; pending foreign keys: 1, triggers: 1[^]*Nothing was changed/,
      ),
    });
    expect([await schemas(provider), await schemas(subscriber)]).toEqual(before);

    // What would mix the schemas is refused; what cannot have its locks changes nothing.
    const install = await job.try("provider", "install", "conf.ini");
    expect({ code: install.code, stderr: install.stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/there is that of Londiste 2.1[^]*skyq upgrade CONFIG/),
    });
    {
      await provider.sql("create table public.gate (name text)");
      await using lock = await Gate.close(provider, "none");
      const writing = provider.sql("begin; insert into synced values (-1); select pg_advisory_xact_lock(4711); commit")
        .catch(() => {});
      const held = await job.try("upgrade", "conf.ini", "--set", "lock_timeout=1");
      expect({ code: held.code, stderr: held.stderr }).toEqual({
        code: 5,
        stderr: expect.stringMatching(/Cannot upgrade: table pgq\.queue is in use by process \d+ \(role "postgres"/),
      });
      await lock[Symbol.asyncDispose]();
      await writing;
    }
    await provider.sql("drop table public.gate");
    expect([await schemas(provider), await schemas(subscriber)]).toEqual(before);

    // Killed when the subscriber is done and the provider is not.
    await provider.sql(commitGate("insert or update"));
    {
      await using gate = await Gate.close(provider, "commit");
      await using upgrade = spawnSkyq(["upgrade", "conf.ini"], { cwd: job.dir });
      await gate.reached();
      expect(await subscriber.sql("select side, from_version from skyq.upgrade")).toContain("subscriber|2.1");
      await upgrade.kill("SIGKILL");
    }
    await provider.sql(`drop trigger "gate commit" on pgq.subscription`);
    expect(await schemas(provider)).toBe(before[0]);
    {
      await using replay = new Replay2(pair, { queue: "q", consumer: "job" });
      await waitFor(() => /get_last_tick/.test(String(replay.lastError)), { what: "the old replay to fail" });
    }
    await job.run("upgrade", "conf.ini");
    expect(await schemas(provider)).toMatch(/londiste londiste_v2 pgq pgq_node public skyq/);
    expect([...await job.states()].sort()).toEqual([
      ["public.child", "ok"],
      ["public.fresh", null],
      ["public.meeting", "catching-up"],
      ["public.narrow", "ok"],
      ["public.synced", "ok"],
    ]);
    for (const table of TABLES) expect(await triggersOf(provider, table)).toEqual(["skyq.capture", "skyq.capture"]);
    expect(await provider.sql("select consumer_name, reason from skyq.failed_event")).toContain("job|bad");
    expect(await subscriber.sql("select table_name, trigger_name from skyq.pending_trigger")).toContain(
      "public.child|mark",
    );
    const again = await job.try("upgrade", "conf.ini");
    expect({ code: again.code, stderr: again.stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/skyq's now/),
    });

    await job.run("provider", "install", "conf.ini");
    await job.run("subscriber", "install", "conf.ini");

    const replay = job.startReplay();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await writer.stop();
    await job.caughtUp();
    await equal(pair);
    expect(await copied(job)).toEqual(["public.fresh"]);
    expect(await job.otherConsumers()).toEqual([]);
    await waitFor(
      async () =>
        (await subscriber.sql("select conname from pg_constraint where contype = 'f'")).includes("parent_fkey"),
      { what: "the foreign key" },
    );
    expect(Number(await subscriber.sql("select last_value from synced_id_seq"))).toBeGreaterThanOrEqual(
      Number(await provider.sql("select last_value from synced_id_seq")),
    );

    // And back, while the application writes.
    const held = await job.try("upgrade", "conf.ini", "--undo");
    expect([held.code, held.stderr]).toEqual([
      6,
      expect.stringMatching(/stop that first, with `skyq replay CONFIG -s`/),
    ]);
    await replay.kill("SIGINT");
    await using second = new Writer(provider, (n) => change(n + 5000));
    await job.run("upgrade", "conf.ini", "--undo");
    expect(await schemas(subscriber)).not.toMatch(/londiste_v2/);
    for (const table of TABLES) expect(await triggersOf(provider, table)).toEqual(["pgq.logtriga"]);
    {
      await using old = new Replay2(pair, { queue: "q", consumer: "job" });
      await second.stop();
      await old.finished();
      await equal(pair);
      expect(String(old.lastError)).toBe("null");
    }
    expect(await subscriber.sql("select count(*) from londiste.subscriber_table where merge_state = 'ok'")).toContain(
      "5",
    );
    const nothing = await job.try("upgrade", "conf.ini", "--undo");
    expect({ code: nothing.code, stderr: nothing.stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/Nothing to undo/),
    });

    // Once more, now that pgq is 3.5.
    await provider.sql(change(20_000));
    await job.run("upgrade", "conf.ini");
    job.startReplay();
    await provider.sql(change(20_001));
    await job.caughtUp();
    await equal(pair);
  });
});
