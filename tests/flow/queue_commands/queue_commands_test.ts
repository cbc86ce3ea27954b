/** The commands about queues, consumers and dead letters, as a person types them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { skyq, type SkyqResult } from "../../harness/process.ts";

let database: LentDatabase;
let dir: string;

const run = (line: string, ...more: string[]): Promise<SkyqResult> => skyq([...line.split(" "), ...more], { cwd: dir });

/** Runs a command that has to succeed. @returns its stdout */
async function ok(line: string, ...more: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(line, ...more);
  if (code !== 0) throw new Error(`skyq ${line} ended with ${code}\n${stdout}\n${stderr}`);
  return stdout;
}

async function objects(line: string, ...more: string[]): Promise<Record<string, unknown>[]> {
  return (await ok(line, ...more, "--json")).trim().split("\n").filter((text) => text !== "").map((text) =>
    JSON.parse(text)
  );
}

beforeAll(async () => {
  [database] = await lendDatabases(1);
  dir = Deno.makeTempDirSync({ prefix: "skyq-queue-" });
  Deno.writeTextFileSync(`${dir}/db.ini`, `[queue]\ndb = ${database.dsn()}\n`);
  Deno.symlinkSync(`${dir}/db.ini`, `${dir}/ticker.ini`);
});

afterAll(() => Deno.removeSync(dir, { recursive: true }));

describe("queue", () => {
  it("says that nothing is installed", async () => {
    const { code, stderr } = await run("queue status db.ini");
    expect(code).toBe(1);
    expect(stderr).toContain("the database has no schema pgq");
    expect(stderr).toContain("skyq queue install");
  });

  it("is installed and upgraded, twice without harm", async () => {
    await ok("queue install db.ini");
    await ok("queue install db.ini");
    const schemas = await objects("queue upgrade db.ini");
    expect(schemas.map((row) => [row.name, row.state])).toEqual([
      ["pgq", "updated"],
      ["pgq_coop", "updated"],
      ["pgq_ext", "updated"],
      ["pgq_node", "updated"],
      ["londiste", "updated"],
      ["skyq", "updated"],
    ]);
    expect(await ok("queue list db.ini")).toBe("");
  });

  it("is created, once", async () => {
    expect((await run("queue create db.ini mail")).stderr).toContain('Created queue "mail"');
    expect((await run("queue create db.ini mail")).stderr).toContain("is there already");
    expect((await objects("queue list db.ini")).map((row) => row.queue_name)).toEqual(["mail"]);
  });

  it("names the queue that was meant", async () => {
    for (
      const line of [
        "queue show db.ini mial",
        "queue events db.ini mial",
        "queue tick db.ini mial",
        "queue drop db.ini mial",
      ]
    ) {
      const { code, stderr } = await run(line);
      expect([line, code]).toEqual([line, 1]);
      expect(stderr).toContain('Did you mean "mail"?');
    }
  });

  it("is configured, all settings or none", async () => {
    await ok(
      "queue config db.ini mail ticker_max_lag=0.5 queue_rotation_period=1h max_size=1GB on_full=pause per_tx_limit=7",
    );
    const [settings] = await objects("queue config db.ini mail");
    expect(settings).toMatchObject({
      queue: "mail",
      ticker_max_lag: 0.5,
      rotation_period: 3600,
      max_size: 2 ** 30,
      on_full: "pause",
      per_tx_limit: 7,
      max_lag: null,
    });
    expect(await ok("queue config db.ini")).toMatch(/^mail\n( {4}\w+ = .*\n)+$/);

    const wrong = await run("queue config db.ini mail ticker_max_lag=9", "rotation_period=13 parsecs");
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('Cannot set "rotation_period" to "13 parsecs"');
    expect((await objects("queue config db.ini mail"))[0]!.ticker_max_lag).toBe(0.5);
    const unknown = await run("queue config db.ini mail ticker_maxlag=9");
    expect([unknown.code, unknown.stderr.includes('Did you mean "ticker_max_lag"?')]).toEqual([2, true]);
    await ok("queue config db.ini mail max_size= per_tx_limit= on_full=warn");
  });

  it("is ticked", async () => {
    const { code, stderr } = await run("queue tick db.ini mail --limit 0.2");
    expect([code, stderr.includes("no ticker made a tick")]).toEqual([1, true]);
    expect(await ok("queue tick db.ini mail --self")).toMatch(/^\d+\n$/);
  });

  it("shows its events without being a consumer", async () => {
    await database.sql(
      "select pgq.insert_event('mail', 'to', 'a', 'public.x', null, null, null), pgq.insert_event('mail', 'cc', 'b')",
    );
    const events = await objects("queue events db.ini mail");
    expect(events.map((row) => row.ev_data)).toEqual(["b", "a"]);
    expect((await objects("queue events db.ini mail --table public.x")).map((row) => row.ev_type)).toEqual(["to"]);
    expect((await objects("queue events db.ini mail --type c%")).map((row) => row.ev_type)).toEqual(["cc"]);
    const tick = (await ok("queue tick db.ini mail --self")).trim();
    expect((await objects(`queue events db.ini mail --tick ${tick}`)).map((row) => row.ev_data)).toEqual(["a", "b"]);
    expect(await objects(`queue events db.ini mail --tick ${Number(tick) - 1}`)).toEqual([]);
    expect((await run("queue events db.ini mail --tick 99999")).stderr).toContain("Cannot find tick 99999");
    expect(await ok("queue show db.ini mail")).toMatch(/^mail\n[^]*\ntick +time/);
  });
});

describe("consumer", () => {
  it("is registered where it is told to begin", async () => {
    await ok("consumer register db.ini mail late");
    await ok("consumer register db.ini mail early --at oldest");
    await ok("consumer register db.ini mail twin --copy early");
    expect((await run("consumer register db.ini mail twin")).stderr).toContain("already");
    const byName = new Map(
      (await objects("consumer list db.ini mail")).map((row) => [row.consumer_name, row.last_tick]),
    );
    expect(byName.get("early")).toBe(1);
    expect(byName.get("twin")).toBe(1);
    expect(byName.get("late")).toBeGreaterThan(1);
    const { code, stderr } = await run("consumer register db.ini mail x --at 1000");
    expect([code, stderr.includes("There are ticks 1 to")]).toEqual([1, true]);
  });

  it("is moved by tick, by time and to either end", async () => {
    const position = async () => (await objects("consumer show db.ini mail twin"))[0]!.last_tick;
    await ok("consumer seek db.ini mail twin 2");
    expect(await position()).toBe(2);
    await ok("consumer seek db.ini mail twin", "2100-01-01 00:00");
    expect(await position()).toBeGreaterThan(2);
    await ok("consumer seek db.ini mail twin oldest");
    expect(await position()).toBe(1);
    expect((await run("consumer seek db.ini mail twin tomorrow")).code).toBe(2);
    expect((await run("consumer seek db.ini mail twim 1")).stderr).toContain('Did you mean "twin"?');
    expect((await run("consumer seek db.ini mail twin", "1999-01-01")).stderr).toContain("no such tick");
  });

  it("has its batch opened, retried, failed and finished by hand", async () => {
    await ok("consumer register db.ini mail hand --at 2");
    expect((await run("consumer batch db.ini mail hand")).code).toBe(4);
    let events: Record<string, unknown>[] = [];
    for (let tries = 0; events.length === 0 && tries < 5; tries++) {
      events = await objects("consumer batch db.ini mail hand --open");
      if (events.length === 0) await ok("consumer batch db.ini mail hand --finish");
    }
    expect(events.map((row) => row.ev_data)).toEqual(["a", "b"]);
    const [first, second] = events.map((row) => row.ev_id);
    expect(await objects("consumer batch db.ini mail hand")).toHaveLength(2);

    await ok(`consumer retry db.ini mail hand ${first} --after 3600`);
    expect((await run("consumer retry db.ini mail hand")).code).toBe(2);
    expect((await run("consumer retry db.ini mail hand 12345678")).stderr).toContain(
      "Cannot retry event 12345678 of batch 1: event not found",
    );
    await ok(`failed add db.ini mail hand ${second} --reason`, "no such address");
    expect((await objects("consumer show db.ini mail hand"))[0]).toMatchObject({ retry_events: 1, failed_events: 1 });
    expect((await run("consumer retry db.ini mail hand --all")).stderr).toContain("1 event of batch");
    await ok("consumer batch db.ini mail hand --finish");

    const [letter] = await objects("failed list db.ini");
    expect(letter).toMatchObject({
      queue_name: "mail",
      consumer_name: "hand",
      ev_id: second,
      reason: "no such address",
    });
    expect(await ok(`failed show db.ini mail hand ${second}`)).toMatch(/^ev_data +b$/m);
    expect((await run("failed show db.ini mail hand 1")).code).toBe(1);
    expect((await run("failed drop db.ini mail hand 1")).stderr).toContain("no such dead letter");
    await database.sql("delete from pgq.retry_queue");
    await ok("failed retry db.ini mail hand --all");
    expect(await objects("failed list db.ini")).toEqual([]);
    expect((await database.sql("select ev_data, ev_retry from pgq.retry_queue")).trim()).toBe("b|1");
  });

  it("is unregistered, its dead letters stay", async () => {
    await database.sql(`insert into skyq.failed_event (queue_name, consumer_name, ev_id, ev_time)
      values ('mail', 'hand', 5, now()), ('mail', 'hand', 6, now())`);
    await ok("consumer unregister db.ini mail hand");
    expect((await run("consumer unregister db.ini mail hand")).code).toBe(1);
    await ok("failed drop db.ini mail hand 5");
    expect(await objects("failed list db.ini mail hand")).toHaveLength(1);
    expect((await run("failed retry db.ini mail hand 6")).stderr).toContain("consumer not registered");
    expect(await objects("failed list db.ini mail hand")).toHaveLength(1);
    await ok("failed drop db.ini mail hand --all");
  });

  it("keeps its queue from being dropped", async () => {
    const { code, stderr } = await run("queue drop db.ini mail");
    expect(code).toBe(1);
    expect(stderr).toContain("early, late, twin");
    await ok("queue create db.ini other");
    await ok("queue drop db.ini other");
  });
});

describe("queue status", () => {
  const warnings = async (...more: string[]) =>
    (await objects("queue status db.ini", ...more)).flatMap((row) => row.warnings as string[]);

  it("warns of a queue without consumers, and exits with 4 when asked to", async () => {
    await ok("queue create db.ini lonely");
    expect(await warnings("lonely")).toEqual(["The queue has no consumers: its events vanish unread"]);
    expect((await run("queue status db.ini lonely --check")).code).toBe(4);
    await ok("queue drop db.ini lonely");
  });

  it("warns of a dead ticker", async () => {
    await database.sql("update pgq.tick set tick_time = tick_time - interval '10 minutes'");
    expect((await warnings()).join("\n")).toMatch(/The last tick is 1\dm.* old: no ticker works on this database/);
  });

  it("names who holds back the rotation and since when, and nobody when an old transaction does", async () => {
    await database.sql("update pgq.queue set queue_switch_time = now() - interval '100 minutes'");
    await ok("queue tick db.ini mail --self");
    const text = (await warnings()).join("\n");
    expect(text).toMatch(/Consumer "early" holds back the rotation since \d{4}-.*, 1\dm(\d+s)? behind, last seen/);
    expect(await ok("queue status db.ini")).toContain('WARNING mail: Consumer "early" holds back the rotation');
    await database.sql(
      "update pgq.queue set queue_switch_step2 = (select max(txid_snapshot_xmax(tick_snapshot)) from pgq.tick)",
    );
    expect((await warnings()).join("\n")).not.toContain("holds back");
  });

  it("shows what pgqadm shows, by pgqadm's own words", async () => {
    const text = await ok("queue status db.ini");
    expect(text).toMatch(/^Postgres version: .* PgQ version: 3/);
    expect(text).toMatch(/^mail +3\/1h +500\/0\.5s\/1m/m);
    expect(text).toMatch(/^mail +early +1\dm/m);
  });
});

describe("roles", () => {
  it("show as much as they may see, and say what they may not", async () => {
    const role = `watcher_${database.name}`;
    await database.sql(`create role ${role} login`);
    try {
      Deno.writeTextFileSync(`${dir}/watcher.ini`, `[skyq]\ndb = ${database.dsn(role)}\n`);
      const closed = await run("queue status watcher.ini");
      expect([closed.code, closed.stdout.includes("closed to this role")]).toEqual([0, true]);
      expect((await run("queue create watcher.ini nope")).stderr).toMatch(
        /permission denied[^]*GRANT pgq_admin TO watcher/,
      );
      expect((await run("failed list watcher.ini")).stderr).toContain("a member of pgq_admin");
      await database.sql(`grant pgq_reader to ${role}`);
      const open = await ok("queue status watcher.ini");
      expect(open).not.toContain("closed to this role");
      expect(open).toMatch(/^mail .* kB$/m);
      await ok("consumer register watcher.ini mail watcher");
      await ok("consumer unregister watcher.ini mail watcher");
    } finally {
      await database.sql(`drop owned by ${role}; drop role ${role}`);
    }
  });
});

describe("limits of a queue", () => {
  it("are looked after by maintenance: pause, drop-consumer, and what is normal again", async () => {
    const maintain = () => database.sql("select skyq.maint_queue_policy('mail')");
    const disabled = async () =>
      (await database.sql("select queue_disable_insert from pgq.queue where queue_name = 'mail'")).trim();

    await ok("queue config db.ini mail max_size=10kB on_full=pause");
    expect((await database.sql("select queue_extra_maint from pgq.queue")).trim()).toBe("{skyq.maint_queue_policy}");
    await maintain();
    expect(await disabled()).toBe("t");
    expect((await objects("queue status db.ini")).flatMap((row) => row.warnings).join("\n"))
      .toMatch(/Events are refused since .*[^]*over max_size = 10 kB/);
    await ok("queue config db.ini mail max_size=1GB");
    await maintain();
    expect(await disabled()).toBe("f");
    expect((await objects("queue status db.ini")).flatMap((row) => row.warnings).join("\n")).not.toMatch(
      /refused|Last/,
    );
    // Who chooses another way to go on need not wait for it to shrink.
    await ok("queue config db.ini mail max_size=10kB");
    await maintain();
    expect(await disabled()).toBe("t");
    await ok("queue config db.ini mail on_full=warn");
    expect(await disabled()).toBe("f");

    // Over its size it is rotated at once: what everybody has read goes.
    await ok("queue config db.ini mail max_size=10kB max_lag=1min on_full=drop-consumer");
    await database.sql("update pgq.queue set queue_switch_step2 = 1, queue_switch_time = now()");
    await maintain();
    expect((await database.sql("select queue_switch_time + queue_rotation_period < now() from pgq.queue")).trim()).toBe(
      "t",
    );
    expect(await objects("consumer list db.ini")).toHaveLength(3);
    // Those who hold it back go once they have been behind for max_lag.
    await database.sql(
      "update pgq.queue set queue_switch_step2 = (select max(txid_snapshot_xmin(tick_snapshot)) - 1 from pgq.tick)",
    );
    await ok("consumer seek db.ini mail late newest");
    await maintain();
    expect((await objects("consumer list db.ini")).map((row) => row.consumer_name)).toEqual(["late"]);
    expect((await database.sql("select note from skyq.queue_policy")).trim()).toContain(
      'dropped consumers "early", "twin"',
    );
  });

  it("are no warning any more once they were set anew", async () => {
    expect(await ok("queue status db.ini")).toContain("Last measure");
    await ok("queue config db.ini mail on_full=warn");
    expect(await ok("queue status db.ini")).not.toContain("Last measure");
  });

  it("go with their queue", async () => {
    await ok("queue drop db.ini mail --force");
    expect((await database.sql("select count(*) from skyq.queue_policy")).trim()).toBe("0");
  });
});
