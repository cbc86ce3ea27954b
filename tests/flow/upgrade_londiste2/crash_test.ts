/**
 * What Londiste 2.1 can have left behind on PgQ 3.5, its real trigger function among it, and what the upgrade and its
 * undoing can.
 */
import { describe, expect, it } from "vitest";
import { lendDatabases, pair as servers } from "../../harness/pair.ts";
import { spawnSkyq } from "../../harness/process.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate } from "../gate.ts";
import { Job } from "../job.ts";
import { Writer } from "../writer.ts";
import { Replay2, Ticker2 } from "./daemon2.ts";
import {
  change,
  commitGate,
  copied,
  copyTable,
  equal,
  makeProvider,
  makeSubscriber,
  PGQ_35,
  register,
  schemas,
  TABLES,
  triggersOf,
} from "./pair2.ts";

const hasExtension = (await (await servers()).provider.sql(
  "postgres",
  "select count(*) from pg_available_extensions where name = 'pgq'",
)).trim() === "1";

describe("upgrade of Londiste 2.1 on PgQ 3.5", () => {
  it.skipIf(!hasExtension)(
    "ends a hand-over that was under way, waits for no lock for ever, survives kill -9",
    async () => {
      const [provider, subscriber] = await lendDatabases(2);
      const pair = { provider, subscriber };
      await makeProvider(provider, ["job"], { pgq: PGQ_35 });
      await makeSubscriber(subscriber);
      await using _ticker = new Ticker2(provider, 3);
      await using job = new Job({
        ...pair,
        settings: { ticker: "off", exception_sleep: "1" },
      });
      await using writer = new Writer(provider, change);
      await register(pair, ...TABLES, "gone");
      for (const table of ["synced", "child", "narrow"]) await copyTable(pair, table, "ok");
      {
        await using replay = new Replay2(pair, { queue: "q", consumer: "job" });
        await replay.finished();
      }
      // The list of tables is under way to the subscriber, and so is a hand-over, with a batch that is not applied.
      await provider.sql(
        `select pgq.insert_event('q', 'T', '${TABLES.map((name) => `public.${name}`).join(",")}');
       select pgq.register_consumer('q', 'job_copy')`,
      );
      await copyTable(pair, "meeting", "catching-up");
      await waitFor(async () => (await provider.sql("select pgq.next_batch('q', 'job')")).trim() !== "", {
        what: "a batch",
      });
      const [last = "", next = ""] = (await provider.sql(
        "select last_tick, next_tick from pgq.get_consumer_info('q', 'job')",
      )).trim().split("|");
      await subscriber.sql(
        `update londiste.subscriber_table set merge_state = 'do-sync:${next}' where table_name = 'public.meeting';
       update londiste.subscriber_table set merge_state = 'in-copy', skip_truncate = true where table_name = 'public.fresh'`,
      );

      const kept = await job.try("upgrade", "conf.ini", "--keep-triggers");
      expect({ code: kept.code, stderr: kept.stderr }).toEqual({
        code: 0,
        stderr: expect.stringMatching(/public.gone: the provider has taken it out/),
      });
      for (const table of TABLES) expect(await triggersOf(provider, table)).toEqual(["pgq.logtriga"]);

      // Somebody holds a table: its trigger stays, and the next call changes it.
      {
        await provider.sql(`create table public.gate (name text)`);
        await using _lock = await Gate.close(provider, "none");
        const busy = provider.sql(
          "begin; lock table narrow in share row exclusive mode; select pg_advisory_xact_lock(4711); commit",
        ).catch(() => {});
        await waitFor(
          async () =>
            (await provider.sql("select count(*) from pg_locks where mode = 'ShareRowExclusiveLock'")).trim() !== "0",
          { what: "the lock" },
        );
        const held = await job.try("upgrade", "conf.ini", "--set", "lock_timeout=0.5");
        expect({ code: held.code, stderr: held.stderr }).toEqual({
          code: 5,
          stderr: expect.stringMatching(/Cannot change the triggers of .*public.narrow/),
        });
        await _lock[Symbol.asyncDispose]();
        await busy;
      }
      expect(await subscriber.sql("select last_tick_id from pgq_node.local_state where consumer_name = 'job'"))
        .toContain(last);
      expect(await triggersOf(provider, "narrow")).toEqual(["pgq.logtriga"]);
      await job.run("upgrade", "conf.ini");
      for (const table of TABLES) expect(await triggersOf(provider, table)).toEqual(["skyq.capture", "skyq.capture"]);
      const states = await job.states();
      expect([states.get("public.meeting"), states.get("public.fresh"), states.size]).toEqual([
        "catching-up",
        "in-copy",
        5,
      ]);
      expect(await subscriber.sql("select table_attrs from londiste.table_info where table_name = 'public.fresh'"))
        .toContain(
          "skip_truncate=1",
        );

      const replay = job.startReplay();
      await job.allOk();
      await writer.stop();
      await job.caughtUp();
      await equal(pair);
      expect(await copied(job)).toEqual(["public.fresh"]);
      await replay.kill("SIGINT");

      // A table that Londiste does not know.
      await job.run("subscriber", "remove", "conf.ini", "synced");
      await provider.sql("create table later (id int primary key)");
      await job.run("provider", "add", "conf.ini", "later");
      const refused = await job.try("upgrade", "conf.ini", "--undo");
      expect({ code: refused.code, stderr: refused.stderr }).toEqual({
        code: 1,
        stderr: expect.stringMatching(/tables were added since the upgrade: public.later \(provider\)/),
      });
      await job.run("provider", "remove", "conf.ini", "later");

      // kill -9 of the undoing, when the subscriber is Londiste's again and the provider is not.
      await provider.sql("drop table public.gate");
      await provider.sql(commitGate("delete"));
      {
        await using gate = await Gate.close(provider, "commit");
        await using undo = spawnSkyq(["upgrade", "conf.ini", "--undo"], { cwd: job.dir });
        await gate.reached();
        await waitFor(async () => !(await schemas(subscriber)).includes("londiste_v2"), {
          what: "the subscriber's commit",
        });
        await undo.kill("SIGKILL");
      }
      await provider.sql(`drop trigger "gate commit" on pgq.subscription`);
      expect(await schemas(provider)).toContain("londiste_v2");
      await job.run("upgrade", "conf.ini", "--undo");
      expect(await schemas(provider)).not.toContain("londiste_v2");
      expect(await subscriber.sql("select table_name from londiste.subscriber_table order by 1")).not.toContain(
        "synced",
      );
      await provider.sql(change(30_000));
      await using old = new Replay2(pair, { queue: "q", consumer: "job" });
      await old.finished();
      await equal(pair, "synced");
      expect(String(old.lastError)).toBe("null");
    },
    300_000,
  );
});
