/** A pair of Londiste 2.1 changes hands under load, with kill -9 of the upgrade between its two commits, and back. */
import { describe, expect, it } from "vitest";
import { spawnSkyq } from "../../harness/process.ts";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate, gateSql } from "../gate.ts";
import { Job } from "../job.ts";
import { Writer } from "../writer.ts";
import { Replay2, Ticker2 } from "./daemon2.ts";
import londiste21 from "./londiste_2_1.sql" with { type: "text" };
import pgq21 from "./pgq_2_1.sql" with { type: "text" };

const TABLES = ["synced", "child", "fresh", "meeting", "narrow"];
const SCHEMA = TABLES.map((name) => `create table ${name} (id serial primary key, v text, n int);`).join("\n") +
  "alter table child add column parent int references meeting (id);";
const FILL = TABLES.map((name) => `insert into ${name} (v) select '${name} ' || i from generate_series(1, 300) i;`)
  .join("\n");
/** `narrow` is logged without its column n. */
const KINDS: Record<string, string> = { child: "kvvv", narrow: "kv" };

function change(n: number): string {
  return TABLES.map((name) =>
    `insert into ${name} (v${name === "narrow" ? "" : ", n"}) values (E'tab\\t\\\\%&='' ' || ${n}${
      name === "narrow" ? "" : `, ${n}`
    }); update ${name} set v = 'u' || ${n} where id = ${1 + n % 250}; delete from ${name} where id = ${250 + n % 40};`
  ).join(" ") + (n % 10 === 0 ? " update child set parent = id where id = 1;" : "");
}

interface Pair {
  readonly provider: LentDatabase;
  readonly subscriber: LentDatabase;
}

async function makePair(): Promise<Pair> {
  const [provider, subscriber] = await lendDatabases(2);
  await provider.sql(`${SCHEMA} ${pgq21} ${londiste21} ${FILL}
    select pgq.create_queue('q');
    update pgq.queue set queue_ticker_max_lag = '0.1 s', queue_ticker_idle_period = '1 s';
    ${
    TABLES.map((name) => `select londiste.provider_add_table('q', 'public.${name}', '${KINDS[name] ?? "kvv"}');`).join(
      "",
    )
  }
    insert into londiste.provider_seq (queue_name, seq_name) values ('q', 'public.synced_id_seq');
    select pgq.register_consumer('q', 'job')`);
  await subscriber.sql(`${SCHEMA} ${londiste21}
    create function public.mark() returns trigger language plpgsql as 'begin return new; end';
    insert into londiste.subscriber_seq (queue_name, seq_name) values ('q', 'public.synced_id_seq');
    alter table child drop constraint child_parent_fkey;
    insert into londiste.subscriber_pending_fkeys values ('public.child', 'public.meeting', 'child_parent_fkey',
      'alter table only public.child add constraint child_parent_fkey FOREIGN KEY (parent) REFERENCES meeting(id)');
    insert into londiste.subscriber_pending_triggers values ('public.child', 'mark',
      'CREATE TRIGGER mark BEFORE INSERT ON public.child FOR EACH ROW EXECUTE FUNCTION mark()')`);
  return { provider, subscriber };
}

/** The first copy of Londiste, all in one: rows and the snapshot that shows them; its consumer is registered before. */
async function copyTable({ provider, subscriber }: Pair, table: string, state: string): Promise<void> {
  const text = await provider.sql(
    `select txid_current_snapshot()::text || E'\\x01' ||
            coalesce(string_agg(format('insert into ${table} (id, v, n) values (%L, %L, %L);', id, v, n), ' '), '')
       from ${table}`,
  );
  const [snapshot, rows] = text.trim().split("\x01");
  await subscriber.sql(`begin; ${rows}
    update londiste.subscriber_table set merge_state = '${state}', snapshot = '${snapshot}'
     where table_name = 'public.${table}';
    commit`);
}

async function register({ subscriber }: Pair, ...tables: string[]): Promise<void> {
  for (const table of tables) {
    await subscriber.sql(
      `insert into londiste.subscriber_table (queue_name, table_name) values ('q', 'public.${table}')`,
    );
  }
}

/** Stops the provider's transaction at its commit, when the subscriber's is done. */
const COMMIT_GATE = gateSql({ name: "unused", table: "pgq.queue", condition: "false" }) +
  `create constraint trigger "gate commit" after insert or update on pgq.subscription
     deferrable initially deferred for each row execute function public.pass_gate('commit')`;

async function triggersOf(db: LentDatabase, table: string): Promise<string[]> {
  return (await db.sql(
    `select p.pronamespace::regnamespace || '.' || case when p.proname like 'capture%' then 'capture' else p.proname end
       from pg_trigger t join pg_proc p on p.oid = t.tgfoid
      where t.tgrelid = '${table}'::regclass and not t.tgisinternal order by 1`,
  )).trim().split("\n");
}

async function schemas(db: LentDatabase): Promise<string> {
  return await db.sql(`select string_agg(nspname, ' ' order by nspname) from pg_namespace
    where nspname !~ '^pg_' and nspname <> 'information_schema'`);
}

async function copied(job: Job): Promise<string[]> {
  return (await job.subscriber.sql("select table_name from skyq.copy_state where started_at is not null order by 1"))
    .trim().split("\n").filter((line) => line !== "");
}

/** Everything but the column that is not logged. */
async function equal(pair: Pair): Promise<void> {
  for (const table of TABLES) {
    const text = `select count(*), md5(string_agg(t::text, ',' order by id)) from (select id, v${
      table === "narrow" ? "" : ", n"
    } from ${table}) t`;
    expect([table, await pair.subscriber.sql(text)]).toEqual([table, await pair.provider.sql(text)]);
  }
}

describe("upgrade of Londiste 2.1", () => {
  it("carries everything over, is finished after kill -9 between the sides, and is undone", async () => {
    const pair = await makePair();
    const { provider, subscriber } = pair;
    await using _ticker = new Ticker2(provider);
    await using job = new Job({ ...pair, settings: { ticker: "off", exception_sleep: "1" } });
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

    // Killed when the subscriber is done and the provider is not.
    await provider.sql(COMMIT_GATE);
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

    const replay = job.startReplay();
    await job.allOk();
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
    expect(held.code).toBe(6);
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
