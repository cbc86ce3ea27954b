/** Two subscribers of one provider of Londiste 2.1 are upgraded one after the other, and one of them goes back. */
import { describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { skyq, spawnSkyq } from "../../harness/process.ts";
import { Job } from "../job.ts";
import { finishedAll } from "../progress.ts";
import { Writer } from "../writer.ts";
import { Replay2, Ticker2 } from "./daemon2.ts";
import { change, copyTable, equal, makeProvider, makeSubscriber, register, TABLES, triggersOf } from "./pair2.ts";

describe("upgrade of a provider with two subscribers", () => {
  it("keeps the old triggers until the last is upgraded, and brings them back for one that goes", async () => {
    const [provider, first, second] = await lendDatabases(3) as [LentDatabase, LentDatabase, LentDatabase];
    await makeProvider(provider, ["job", "job2"]);
    for (const subscriber of [first, second]) {
      await makeSubscriber(subscriber);
      await register({ provider, subscriber }, ...TABLES);
      for (const table of TABLES) await copyTable({ provider, subscriber }, table, "ok");
    }
    await using _ticker = new Ticker2(provider);
    await using job = new Job({ provider, subscriber: first, settings: { ticker: "off", exception_sleep: "1" } });
    Deno.writeTextFileSync(
      `${job.dir}/conf2.ini`,
      Deno.readTextFileSync(`${job.dir}/conf.ini`).replace("job_name = job\n", "job_name = job2\n")
        .replace(first.dsn(), second.dsn()),
    );
    const run = async (...args: string[]) => {
      const result = await skyq(args, { cwd: job.dir });
      expect([args, result.code, result.stderr]).toEqual([args, 0, expect.anything()]);
      return result.stderr;
    };
    const secondEqual = async () => {
      await finishedAll(provider, { queue: "q", consumer: "job2", timeoutMs: 120_000 });
      await equal({ provider, subscriber: second });
    };

    await using writer = new Writer(provider, change);
    {
      await using old = new Replay2({ provider, subscriber: second }, { queue: "q", consumer: "job2" });
      // Schema pgq alone: the daemons of 2.1 go on.
      expect(await run("queue", "upgrade", "conf.ini")).toMatch(/Upgrading pgq from 2.1 to 3.5/);
      await old.finished();
      expect(await run("upgrade", "conf.ini")).toMatch(/Triggers stay as they are: job2 read/);
      expect(await triggersOf(provider, "synced")).toEqual(["pgq.logtriga"]);
      job.startReplay();
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      // Events of the cascade are none of its business: it gives up on them, and goes on.
      await old.finished();
      expect(old.lastError).toBe(null);
    }
    expect(await run("upgrade", "conf2.ini")).toMatch(/synced: captured by skyq/);
    expect(await triggersOf(provider, "synced")).toEqual(["skyq.capture", "skyq.capture"]);
    {
      await using _replay = spawnSkyq(["replay", "conf2.ini"], { cwd: job.dir });
      await writer.stop();
      await job.caughtUp();
      await equal(job);
      await secondEqual();
    }
    expect(await run("upgrade", "conf2.ini", "--undo")).toMatch(/Other subscribers read the queue/);
    expect(await triggersOf(provider, "synced")).toEqual(["pgq.logtriga"]);
    {
      await using old = new Replay2({ provider, subscriber: second }, { queue: "q", consumer: "job2" });
      await provider.sql(change(9_000));
      await old.finished();
      await job.caughtUp();
      await equal(job);
      await equal({ provider, subscriber: second });
    }
  });
});
