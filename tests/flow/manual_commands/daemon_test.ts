/** The manual's options of daemons: each line, each error, its text and its status. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { guard } from "../../harness/process.ts";
import { isAlive } from "../../harness/proc.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";
import { testLines } from "./lines.ts";

describe("options of daemons", () => {
  let job: Job;
  let conf = "";
  const pidfile = () => `${job.dir}/job.pid`;

  beforeAll(async () => {
    const [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber });
    const pair = `provider_db = ${provider.dsn()}\nsubscriber_db = ${subscriber.dsn()}\npgq_queue_name = q`;
    Deno.writeTextFileSync(`${job.dir}/no_pid.ini`, `[skyq]\n${pair}\n`);
    const nowhere = "host=127.0.0.1 port=1 dbname=x user=u password=geheim connect_timeout=2";
    Deno.writeTextFileSync(
      `${job.dir}/down.ini`,
      `[skyq]\nprovider_db = ${nowhere}\nsubscriber_db = ${nowhere}\npgq_queue_name = q\n` +
        `pidfile = ${job.dir}/down.pid\nlogfile = ${job.dir}/down.log\nexception_sleep = 1\n`,
    );
    await job.run("provider", "install", "conf.ini");
  });
  afterAll(async () => await job?.[Symbol.asyncDispose]());

  describe("signals to a job that does not run", () => {
    testLines(() => job, [
      { type: "replay no_pid.ini -r", says: ["WARNING No pidfile in config, nothing todo"] },
      { type: "replay conf.ini -s", says: ["WARNING No pidfile, process not running"] },
      { type: "conf.ini -k replay", says: ["WARNING No pidfile, process not running"] },
      {
        type: "replay conf.ini -k",
        when: "its process is gone",
        before: () => Deno.writeTextFileSync(pidfile(), "999999\n"),
        after: () => Deno.removeSync(pidfile()),
        says: ["WARNING pidfile exist, but process not running"],
      },
      { type: "replay conf.ini -s --strict", code: 1, says: ["WARNING No pidfile, process not running"] },
      {
        type: "replay conf.ini -s --set pidfiel=other.pid",
        code: 2,
        says: ['Cannot set "pidfiel": no such config key', 'hint: Did you mean "pidfile"?'],
        saysNot: ["No pidfile"],
      },
      {
        type: "replay conf.ini -r --set nonsense=1",
        code: 2,
        says: ['Cannot set "nonsense"', "hint: The option --ini"],
      },
      {
        type: "replay conf.ini -s",
        when: "the file has an unknown key and a value that is wrong",
        before: () => {
          conf = Deno.readTextFileSync(`${job.dir}/conf.ini`);
          Deno.writeTextFileSync(`${job.dir}/conf.ini`, `${conf}nonsense = 1\nlock_timeout = soon\n`);
        },
        after: () => Deno.writeTextFileSync(`${job.dir}/conf.ini`, conf),
        says: ["WARNING No pidfile, process not running"],
      },
      { type: "replay conf.ini -r -s", code: 2, says: ["Cannot take --reload and --stop together"] },
      { type: "replay conf.ini --wait", code: 2, says: ["Cannot take --wait without --stop or --kill"] },
    ]);
  });

  describe("-d", () => {
    testLines(() => job, [
      { type: "replay no_pid.ini -d", code: 1, says: ["ERROR Daemon needs pidfile"] },
      {
        type: "replay down.ini -d",
        when: "its first error is the caller's",
        code: 1,
        says: [/ERROR Cannot connect to .*connection refused/],
        saysNot: ["geheim"],
      },
      {
        type: "ticker down.ini -d",
        when: "its first error is the caller's",
        code: 1,
        says: [/ERROR Cannot connect to .*connection refused/],
        after: () => expect(() => Deno.statSync(`${job.dir}/down.pid`)).toThrow(),
      },
      {
        type: "replay conf.ini -d",
        when: "the subscriber is not installed",
        code: 1,
        says: ['ERROR Cannot replay queue "q"', "hint: Run `skyq subscriber install` first."],
      },
    ]);

    it("waits for servers that are down where the config says so, and tells", async () => {
      const started = await job.try("replay", "down.ini", "-d", "--set", "wait_for_servers=1");
      expect({ code: started.code, stderr: started.stderr }).toEqual({ code: 0, stderr: started.stderr });
      expect(started.stderr).toMatch(/WARNING Cannot connect to .*; it goes on trying \(wait_for_servers\)/);
      const pid = Number(Deno.readTextFileSync(`${job.dir}/down.pid`).split("\n")[0]);
      const release = guard(pid);
      try {
        const tries = () => (Deno.readTextFileSync(`${job.dir}/down.log`).match(/next try in/g) ?? []).length;
        await waitFor(() => tries() >= 2, { what: "a second try" });
        // The server is there now: another file in its place, read again at the next try.
        const conf = Deno.readTextFileSync(`${job.dir}/conf.ini`).replaceAll(
          `${job.dir}/%(job_name)s`,
          `${job.dir}/down`,
        );
        await job.run("subscriber", "install", "conf.ini");
        Deno.writeTextFileSync(`${job.dir}/down.ini`, `${conf}wait_for_servers = 1\n`);
        await job.run("replay", "down.ini", "-r");
        await job.finished();
        await job.run("replay", "down.ini", "-s", "--wait");
        expect(isAlive(pid)).toBe(false);
      } finally {
        if (isAlive(pid)) Deno.kill(pid, "SIGKILL");
        release();
      }
    });

    it("returns when the job is ready; -r, a second -d, -s --wait", async () => {
      expect(await job.run("replay", "conf.ini", "-d")).toBe("");
      const pid = Number(Deno.readTextFileSync(pidfile()).split("\n")[0]);
      const release = guard(pid);
      try {
        expect(isAlive(pid)).toBe(true);
        const second = await job.try("replay", "conf.ini", "-d");
        expect(second.code).toBe(6);
        expect(second.stderr).toContain("Pidfile exists, another process running?");
        expect(await job.try("replay", "conf.ini", "-r")).toEqual({ code: 0, stdout: "", stderr: "" });
        await waitFor(() => job.log.includes("Config reloaded"), { what: "the reload" });
        expect(await job.try("replay", "conf.ini", "-s", "--wait")).toEqual({ code: 0, stdout: "", stderr: "" });
        expect(isAlive(pid)).toBe(false);
        expect(() => Deno.statSync(pidfile())).toThrow();
      } finally {
        if (isAlive(pid)) Deno.kill(pid, "SIGKILL");
        release();
      }
    });

    it("-s --wait gives up after --timeout, and -k ends the job", async () => {
      // Something that does not mind SIGINT stands for a job in the middle of a large batch.
      const stubborn = new Deno.Command("sh", { args: ["-c", "trap '' INT; sleep 60 & wait; wait"] }).spawn();
      try {
        Deno.writeTextFileSync(pidfile(), `${stubborn.pid}\n`);
        const { code, stderr } = await job.try("replay", "conf.ini", "-s", "--wait", "--timeout", "0.5");
        expect(code).toBe(1);
        expect(stderr).toContain(`Cannot stop process ${stubborn.pid}: still running after 0.5 s`);
        expect((await job.try("replay", "conf.ini", "-k", "--wait")).code).toBe(0);
        expect((await stubborn.status).signal).toBe("SIGTERM");
      } finally {
        Deno.removeSync(pidfile());
      }
    });
  });
});
