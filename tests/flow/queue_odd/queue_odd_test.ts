/** What a person at a shell gets wrong about queues, and what odd values in them look like. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import pgq21 from "../upgrade_londiste2/pgq_2_1.sql" with { type: "text" };
import { skyq, type SkyqResult } from "../../harness/process.ts";

let database: LentDatabase;
let half: LentDatabase;
let old: LentDatabase;
let other: LentDatabase;
let dir: string;

const run = (line: string, ...more: string[]): Promise<SkyqResult> => skyq([...line.split(" "), ...more], { cwd: dir });

async function ok(line: string, ...more: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(line, ...more);
  if (code !== 0) throw new Error(`skyq ${line} ended with ${code}\n${stdout}\n${stderr}`);
  return stdout;
}

/** Opens batches until one has events: somebody else's ticker of the whole cluster may tick as well. @returns their JSON */
async function openBatch(...queueAndConsumer: [string, string]): Promise<string> {
  for (;;) {
    const events = await ok("consumer batch db.ini --open --json", "--", ...queueAndConsumer);
    if (events !== "") return events;
    await ok("consumer batch db.ini --finish", "--", ...queueAndConsumer);
  }
}

/** A command that has to be refused. @returns its exit status and what it said */
async function refused(line: string, ...more: string[]): Promise<[number, string]> {
  const { code, stderr } = await run(line, ...more);
  return [code, stderr];
}

beforeAll(async () => {
  [database, half, old, other] = await lendDatabases(4) as [LentDatabase, LentDatabase, LentDatabase, LentDatabase];
  dir = Deno.makeTempDirSync({ prefix: "skyq-queue-" });
  Deno.writeTextFileSync(`${dir}/db.ini`, `[queue]\ndb = ${database.dsn()}\n`);
  Deno.writeTextFileSync(`${dir}/half.ini`, `[queue]\ndb = ${half.dsn()}\n`);
  Deno.writeTextFileSync(`${dir}/old.ini`, `[queue]\ndb = ${old.dsn()}\n`);
  await ok("queue install db.ini");
  await ok("queue create db.ini mail");
  await ok("consumer register db.ini mail c");
});

afterAll(() => Deno.removeSync(dir, { recursive: true }));

describe("names", () => {
  it("that are empty or have control characters are refused", async () => {
    for (const line of ["queue create db.ini", "consumer register db.ini mail"]) {
      expect(await refused(line, "")).toEqual([2, expect.stringContaining("its name is empty")]);
      expect(await refused(line, "a\nb")).toEqual([2, expect.stringContaining('"a\\nb": its name has control')]);
    }
  });

  it("with quotes, dots, commas and more than 63 bytes work in every command", async () => {
    for (const name of [`o"o'p.s, %s`, "ж".repeat(60), "*", "--"]) {
      const [queue, consumer] = [name, name + "!"];
      await ok("queue create db.ini", "--", queue);
      await ok("consumer register db.ini", "--", queue, consumer);
      await database.sql(`select pgq.insert_event('${queue.replaceAll("'", "''")}', 't', 'd')`);
      await ok("queue tick db.ini --self", "--", queue);
      expect(await openBatch(queue, consumer)).toContain('"ev_data":"d"');
      await ok("consumer batch db.ini --finish", "--", queue, consumer);
      await ok("consumer seek db.ini", "--", queue, consumer, "oldest");
      expect(JSON.parse(await ok("queue show db.ini --json", "--", queue)).consumers[0].consumer_name).toBe(consumer);
      await ok("consumer unregister db.ini", "--", queue, consumer);
      await ok("queue config db.ini", "--", queue, "max_size=1GB");
      await ok("queue drop db.ini", "--", queue);
    }
  });
});

describe("settings", () => {
  it("may stand without a queue where the config names one", async () => {
    await ok("queue config db.ini ticker_max_count=77 --set pgq_queue_name=mail");
    expect(JSON.parse(await ok("queue config db.ini mail --json")).ticker_max_count).toBe(77);
    expect(await refused("queue config db.ini ticker_max_count=77")).toEqual([
      2,
      expect.stringContaining("no queue is named"),
    ]);
  });

  it("that the server cannot read are wrong usage, and say which", async () => {
    expect(await refused("queue config db.ini mail ticker_max_lag=1e400")).toEqual([
      2,
      expect.stringContaining('Cannot set "ticker_max_lag" to "1e400": invalid input'),
    ]);
  });
});

describe("queue tick", () => {
  it("says at once that a queue is paused or ticked elsewhere", async () => {
    for (const [setting, reason] of [["ticker_paused", "is paused"], ["external_ticker", "another node"]]) {
      await ok(`queue config db.ini mail ${setting}=1`);
      for (const self of [[], ["--self"]]) {
        expect(await refused("queue tick db.ini mail", ...self)).toEqual([1, expect.stringContaining(reason!)]);
      }
      await ok(`queue config db.ini mail ${setting}=0`);
    }
  });
});

describe("events", () => {
  it("stay on their line, and are exact as JSON", async () => {
    const data = "a\tb\nc\x1b[31m\u009b";
    await database.sql(`select pgq.insert_event('mail', 'odd', E'a\\tb\\nc\\x1b[31m' || chr(155))`);
    await ok("queue tick db.ini mail --self");
    const shown = (await ok("queue events db.ini mail --type odd")).split("\n");
    expect(shown).toHaveLength(4);
    expect(shown[2]).toContain("a\\tb\\nc\\x1b[31m\\x9b");
    expect(JSON.parse(await ok("queue events db.ini mail --type odd --json")).ev_data).toBe(data);
    const batch = await openBatch("mail", "c");
    const { ev_id } = JSON.parse(batch);
    expect(await ok("consumer batch db.ini mail c")).toContain("a\\tb\\nc\\x1b");

    // What is done twice is counted once, what does not exist is named.
    expect((await run(`consumer retry db.ini mail c ${ev_id} ${ev_id}`)).stderr).toContain("1 event of batch");
    expect((await run(`consumer retry db.ini mail c ${ev_id}`)).stderr).toMatch(/0 events .*1 had been put off before/);
    expect(await refused(`failed add db.ini mail c ${ev_id} 987`)).toEqual([
      1,
      expect.stringContaining("Cannot make event 987 of batch"),
    ]);
    expect(await ok("failed list db.ini")).toBe("");
    await ok(`failed add db.ini mail c ${ev_id}`);
    expect((await run(`failed add db.ini mail c ${ev_id}`)).stderr).toMatch(/0 events .*1 had been before/);
    expect(await ok(`failed show db.ini mail c ${ev_id}`)).toContain("a\\tb\\nc\\x1b[31m\\x9b");
    expect(await refused(`failed retry db.ini mail c ${ev_id} --all`)).toEqual([2, expect.stringContaining("--all")]);
    await ok("consumer unregister db.ini mail c");
    expect(await refused(`failed retry db.ini mail c ${ev_id}`)).toEqual([
      1,
      expect.stringContaining(`Cannot retry event ${ev_id}: consumer not registered`),
    ]);
  });
});

describe("consumer seek", () => {
  it("says which time it cannot read", async () => {
    await ok("consumer register db.ini mail s");
    expect(await refused("consumer seek db.ini mail s", "2036-99-01")).toEqual([
      2,
      expect.stringContaining('Cannot read position "2036-99-01"'),
    ]);
  });
});

describe("subconsumers", () => {
  it("have their batches by the shared position, and are not moved by themselves", async () => {
    await database.sql(
      "select pgq_coop.register_subconsumer('mail', 'team', 'w'), pgq.insert_event('mail', 't', 'work')",
    );
    await ok("queue tick db.ini mail --self");
    expect(await refused("consumer batch db.ini mail team.w")).toEqual([4, expect.stringContaining("none is open")]);
    expect(await openBatch("mail", "team.w")).toContain('"ev_data":"work"');
    expect(await refused("consumer seek db.ini mail team.w newest")).toEqual([
      1,
      expect.stringContaining('it shares the position of "team"'),
    ]);
    await ok("consumer batch db.ini mail team.w --finish");
    const [team, worker] = (await ok("consumer list db.ini mail --json")).trim().split("\n").map((row) =>
      JSON.parse(row)
    )
      .filter((row) => row.consumer_name.startsWith("team"));
    expect([team.lag < 60, worker.consumer_name, worker.last_tick]).toEqual([true, "team.w", null]);
    await ok("consumer unregister db.ini mail team");
  });
});

describe("a queue that others live by", () => {
  it("is not dropped under triggers that write into it, even with --force", async () => {
    const queue = "o'q ж";
    await ok("queue create db.ini", queue);
    await database.sql(`
      create table public.written (id int primary key);
      create trigger "To queue" after insert on public.written for each row execute function pgq.logutriga('${
      queue.replaceAll("'", "''")
    }')`);
    for (const force of [[], ["--force"]]) {
      const [code, text] = await refused("queue drop db.ini", queue, ...force);
      expect(code).toBe(1);
      expect(text).toMatch(/triggers write into it: of written\n[^]*drop trigger "To queue" on written/);
    }
    expect((await skyq(["console", database.dsn(), "-c", `drop queue "${queue}"`])).stderr).toContain("triggers write");
    await database.sql("insert into public.written values (1)");
    await database.sql('drop trigger "To queue" on public.written');
    await ok("queue drop db.ini", queue);
  });

  it("is dropped by what knows of nodes, and its workers are moved and ended by that", async () => {
    const pair = `[skyq]\njob_name = leaf\nprovider_db = ${database.dsn()}\nsubscriber_db = ${other.dsn()}\n` +
      "pgq_queue_name = shop\n";
    Deno.writeTextFileSync(`${dir}/pair.ini`, pair);
    await ok("provider install pair.ini");
    await ok("subscriber install pair.ini");
    await database.sql("create table public.goods (id int primary key)");
    await ok("provider add pair.ini goods");
    for (const force of [[], ["--force"]]) {
      const [code, text] = await refused("queue drop db.ini shop", ...force);
      expect(code).toBe(1);
      expect(text).toMatch(
        /node "shop_root" lives by it\nhint: `skyq provider remove CONFIG --all` [^]*drop_node\('shop', 'shop_root'\)/,
      );
    }
    for (const consumer of ["leaf", ".leaf.watermark"]) {
      expect(await refused("consumer seek db.ini shop", consumer, "oldest")).toEqual([
        1,
        expect.stringMatching(/Cannot move [^]*node "leaf" reads queue "shop" by it[^]*replay CONFIG --rewind/),
      ]);
      expect(await refused("consumer unregister db.ini shop", consumer)).toEqual([
        1,
        expect.stringMatching(/Cannot unregister [^]*subscriber unregister CONFIG/),
      ]);
    }
    expect((await refused("consumer unregister db.ini shop", ".global_watermark"))[1]).toContain(
      'node "shop_root" keeps queue "shop" for all its subscribers by it',
    );
    const consumers = () => database.sql("select consumer_name from pgq.get_consumer_info('shop') order by 1");
    const before = await consumers();
    for (const consumer of ["leaf", "*"]) {
      const { code, stderr } = await skyq([
        "console",
        database.dsn(),
        "-c",
        `unregister consumer ${consumer} from shop`,
      ]);
      expect([code, stderr]).toEqual([1, expect.stringMatching(/Cannot unregister [^]*subscriber unregister CONFIG/)]);
    }
    expect(await consumers()).toBe(before);
    await ok("subscriber unregister pair.ini");
    await ok("provider remove pair.ini --all");
    await database.sql("select * from pgq_node.drop_node('shop', 'shop_root')");
    expect(await ok("queue list db.ini --json")).not.toContain("shop");
    await database.sql("insert into public.goods values (1)");
  });
});

describe("a schema of PgQ 2.1", () => {
  it("is named by every command, with what makes it 3.5; upgrade does that", async () => {
    await old.sql(`${pgq21}
      select pgq.create_queue('q'), pgq.register_consumer('q', 'c')`);
    for (const line of ["queue list", "queue status", "consumer list", "failed list", "ticker"]) {
      const [code, text] = await refused(`${line} old.ini`);
      expect([line, code]).toEqual([line, 1]);
      expect(text).toMatch(/schema pgq is that of PgQ 2\.1\nhint: `skyq queue upgrade/);
    }
    expect(await refused("console old.ini -c", "show queue")).toEqual([
      1,
      expect.stringContaining("Cannot run the statement: schema pgq is that of PgQ 2.1"),
    ]);
    await ok("queue upgrade old.ini");
    expect(await ok("queue list old.ini")).toMatch(/^q +0\/3/m);
  });
});

describe("half an installation", () => {
  it("is refused by every command, which names what is missing", async () => {
    await half.sql("create schema pgq; create table pgq.queue (queue_id int4)");
    for (const line of ["queue list", "queue status", "consumer list", "queue install", "queue upgrade", "ticker"]) {
      const [code, text] = await refused(`${line} half.ini`);
      expect([line, code]).toEqual([line, 1]);
      expect(text).toMatch(/schema pgq lacks pgq\.consumer, pgq\.event_template, pgq\.retry_queue and \d+ more/);
    }
    expect((await half.sql("select count(*) from pg_namespace where nspname in ('skyq', 'londiste')")).trim()).toBe(
      "0",
    );
    await half.sql("drop schema pgq cascade; create schema pgq");
    expect((await refused("console half.ini -c", "create queue x"))[1]).toContain("the database has no schema pgq");
    await ok("queue install half.ini");
    expect(await ok("queue list half.ini")).toBe("");
  });
});
