/**
 * usage: deno task demo [--seconds N] [--seed N] [--keep]
 *
 * Two throw-away PostgreSQL servers on this machine, three tables, writers that do not stop while skyq is installed,
 * copies the tables and replays every change; replay is killed with -9 on the way. At the end SQL compares both sides.
 *
 *   --seconds N   how long the writers go on after the tables were subscribed (20)
 *   --seed N      the same random choices again
 *   --keep        leave everything running until ctrl-C, and say how to connect
 *
 * Exit status 0 when both sides are equal, else 1.
 */
import { parseArgs } from "node:util";
import { Random } from "../tests/harness/seed.ts";
import { contentsOf } from "../tests/flow/contents.ts";
import { CUSTOMER_COUNT, ORDER_COUNT, SEQUENCE, TABLES } from "./demo/tables.ts";
import { QUEUE, Shop } from "./demo/shop.ts";

const WRITER_COUNT = 4;
/** 128 + SIGINT. */
const EXIT_INTERRUPTED = 130;

interface Options {
  readonly seconds: number;
  readonly seed: number;
  readonly keep: boolean;
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: { seconds: { type: "string" }, seed: { type: "string" }, keep: { type: "boolean", default: false } },
  });
  const number = (name: string, text: string | undefined, otherwise: number): number => {
    const value = text === undefined ? otherwise : Number(text);
    if (!(value >= 0)) throw new TypeError(`Option "--${name}" needs a number, not "${text}"`);
    return value;
  };
  return {
    seconds: number("seconds", values.seconds, 20),
    seed: number("seed", values.seed, crypto.getRandomValues(new Uint32Array(1))[0]!),
    keep: values.keep,
  };
}

const startedMs = performance.now();

function say(text: string): void {
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1).padStart(5);
  console.log(`${seconds} s  ${text}`);
}

function detail(text: string): void {
  console.log(`           ${text}`);
}

function thousands(value: number | bigint): string {
  return value.toLocaleString("en-US");
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(ms, 0)));
}

interface Lag {
  readonly maxS: number;
  stop(): Promise<void>;
}

/** Looks at the replay's lag four times a second, until it is told to stop. */
function watchLag(shop: Shop): Lag {
  let [maxS, isStopping] = [0, false];
  const done = (async () => {
    while (!isStopping) {
      maxS = Math.max(maxS, await shop.lagS());
      await sleep(250);
    }
  })();
  done.catch(() => {}); // After ctrl-C the server may go first.
  return {
    get maxS() {
      return maxS;
    },
    stop() {
      isStopping = true;
      return done;
    },
  };
}

/** The story. @returns whether both sides are equal */
async function demo(shop: Shop, options: Options): Promise<boolean> {
  const run = (line: string) => {
    say(`$ skyq ${line}`);
    return shop.skyq(line, detail);
  };
  say(
    `two PostgreSQL ${shop.major} servers: provider on port ${shop.provider.cluster.port}, ` +
      `subscriber on port ${shop.subscriber.cluster.port}`,
  );
  detail(`customer ${thousands(CUSTOMER_COUNT)} rows, orders ${thousands(ORDER_COUNT)} rows, order_item 30,000 rows`);
  say(`cat ${shop.dir}/demo.ini`);
  for (const line of shop.config("demo.ini").trimEnd().split("\n")) detail(line);

  const writers = shop.startWriters(WRITER_COUNT, new Random(options.seed));
  let lagging: Lag | null = null;
  try {
    say(`${WRITER_COUNT} writers begin and do not wait for anybody (--seed ${options.seed})`);
    await run("provider install demo.ini");
    await run("subscriber install demo.ini");
    await run("ticker ticker.ini -d");
    await run("replay demo.ini -d");
    lagging = watchLag(shop);
    await run("provider add demo.ini customer orders order_item");
    await run("provider add-seq demo.ini orders_order_id_seq");
    await run("subscriber add demo.ini customer orders order_item");
    await run("subscriber add-seq demo.ini orders_order_id_seq");

    const isCopying = await shop.copyInProgress();
    const pid = await shop.killReplay();
    say(`kill -9 ${pid}: the replay is dead, in the middle of ${isCopying ? "the copy of orders" : "its work"}`);
    await run("subscriber tables demo.ini");
    await run("replay demo.ini -d");

    say(`the writers go on for ${options.seconds} s`);
    const deadline = performance.now() + options.seconds * 1000;
    for (;;) {
      await sleep(Math.min(5000, deadline - performance.now()));
      if (performance.now() >= deadline) break;
      detail(
        `${thousands(writers.counts.commits)} transactions written, ${thousands(shop.replayed().events)} events ` +
          `replayed, ${(await shop.lagS()).toFixed(1)} s behind`,
      );
    }
    await writers.stop();
    const { commits, rollbacks } = writers.counts;
    say(`the writers stop: ${thousands(commits)} transactions committed, ${thousands(rollbacks)} rolled back`);
    await shop.caughtUp();
    say("the subscriber has caught up");
    await run("subscriber tables demo.ini");
    return await report(shop, lagging.maxS);
  } finally {
    await lagging?.stop();
  }
}

/** Prints numbers and the comparison. @returns whether both sides are equal */
async function report(shop: Shop, lagMaxS: number): Promise<boolean> {
  const copied = (await shop.skyq("subscriber tables demo.ini --json", () => {}))
    .trim().split("\n").reduce((sum, line) => sum + Number(JSON.parse(line).rows ?? 0), 0);
  const { events, seconds } = shop.replayed();
  const lagS = await shop.lagS();
  say("what SQL says about the two sides (no code of skyq's):");
  let isEqual = true;
  for (const table of TABLES) {
    const [here, there] = await Promise.all([contentsOf(shop.provider, table), contentsOf(shop.subscriber, table)]);
    const same = here.rowCount === there.rowCount && here.md5 === there.md5;
    isEqual &&= same;
    detail(
      same
        ? `${table.padEnd(18)} ${thousands(here.rowCount).padStart(9)} rows on both sides, md5 ${here.md5}   equal`
        : `${table.padEnd(18)} ${thousands(here.rowCount)} rows, md5 ${here.md5} on the provider, ` +
          `${thousands(there.rowCount)} rows, md5 ${there.md5} on the subscriber   DIFFERENT`,
    );
  }
  const sequence = await shop.sequenceValues();
  detail(`${SEQUENCE}: ${thousands(sequence.provider)} here, ${thousands(sequence.subscriber)} there: no number twice`);
  say("numbers");
  detail(`rows copied          ${thousands(copied).padStart(9)}`);
  detail(`events replayed      ${thousands(events).padStart(9)}`);
  detail(
    `events per second    ${
      thousands(Math.round(events / Math.max(seconds, 0.001))).padStart(9)
    }   while replay worked`,
  );
  detail(`seconds of lag, max  ${lagMaxS.toFixed(1).padStart(9)}   with the copies and the killed replay`);
  detail(`seconds of lag, end  ${lagS.toFixed(1).padStart(9)}`);
  return isEqual;
}

async function main(): Promise<number> {
  let options: Options;
  try {
    options = readOptions(Deno.args);
  } catch (error) {
    console.error(`${(error as Error).message}\nusage: deno task demo [--seconds N] [--seed N] [--keep]`);
    return 2;
  }
  const stopped = Promise.withResolvers<"stopped">();
  let isStopped = false;
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(name, () => {
      isStopped = true;
      stopped.resolve("stopped");
    });
  }
  let shop: Shop | null = null;
  try {
    say("two servers are started, and 200,000 orders written");
    shop = await Shop.open();
    const story = demo(shop, options);
    story.catch(() => {}); // After ctrl-C nobody asks for it any more.
    const outcome = await Promise.race([story, stopped.promise]);
    if (outcome !== "stopped") {
      say(outcome ? "both sides are equal" : `the sides differ; the logs are in ${shop.keepLogs()}`);
      if (options.keep) await keepRunning(shop, stopped.promise);
      return outcome ? 0 : 1;
    }
  } catch (error) {
    // ctrl-C reaches the commands that we run as well.
    if (!isStopped) {
      say(`failed: ${(error as Error).message}`);
      if (shop !== null) say(`the logs are in ${shop.keepLogs()}`);
      if (shop !== null && options.keep) await keepRunning(shop, stopped.promise);
      return 1;
    }
  } finally {
    await shop?.[Symbol.asyncDispose]();
  }
  say("stopped, everything is cleaned up");
  return EXIT_INTERRUPTED;
}

async function keepRunning(shop: Shop, stopped: Promise<unknown>): Promise<void> {
  say("everything is left running until ctrl-C");
  for (const database of [shop.provider, shop.subscriber]) detail(`psql "${database.dsn()}"`);
  detail(`queue "${QUEUE}", config files and logs in ${shop.dir}`);
  await stopped;
}

Deno.exit(await main());
