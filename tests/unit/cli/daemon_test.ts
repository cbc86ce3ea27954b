import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isAlive } from "../../harness/proc.ts";
import { waitFor } from "../../harness/wait_for.ts";

const PROGRAM = new URL("./daemon_program.ts", import.meta.url).pathname;
const decoder = new TextDecoder();

let directory = "";
let pidfile = "";
let logfile = "";
let config = "";

beforeEach(() => {
  directory = Deno.realPathSync(Deno.makeTempDirSync());
  pidfile = `${directory}/job.pid`;
  logfile = `${directory}/job.log`;
  config = `${directory}/job.ini`;
  writeConfig("");
});

afterEach(() => {
  const pid = runningPid();
  if (pid !== null) Deno.kill(pid, "SIGKILL");
  Deno.removeSync(directory, { recursive: true });
});

function writeConfig(more: string): void {
  Deno.writeTextFileSync(config, `[skyq]\npidfile = ${pidfile}\nlogfile = ${logfile}\n${more}`);
}

function command(...args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", PROGRAM, ...args],
    cwd: directory,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await command(...args).output();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

function readOr(path: string, missing: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return missing;
  }
}

function runningPid(): number | null {
  const pid = parseInt(readOr(pidfile, ""));
  return pid > 0 && isAlive(pid) ? pid : null;
}

const log = () => readOr(logfile, "");

describe("skyq -d", () => {
  it("returns when the daemon is ready, which then works in the same directory and keeps its log and pidfile", async () => {
    const started = await run("work", config, "-d");
    expect([started.code, started.out, started.err]).toEqual([0, "", ""]);
    expect(runningPid()).not.toBeNull();
    expect(log()).toContain(`working in ${directory}`);

    const again = await run("work", config, "-d");
    expect(again.code).toBe(6);
    expect(again.err).toContain("Pidfile exists, another process running?");

    const stopped = await run(config, "work", "-s", "--wait");
    expect([stopped.code, stopped.err]).toEqual([0, ""]);
    expect(readOr(pidfile, "gone")).toBe("gone");
    expect(log()).toMatch(/INFO Got SIGINT.*\n.*INFO step finished\n$/);
  });

  it("prints the daemon's first error and ends with its status", async () => {
    const { code, err } = await run("work", config, "-d", "--fail=early");
    expect(code).toBe(1);
    expect(err).toMatch(/ERROR Cannot connect to "nowhere": refused\nhint: Try later\.\n$/);
    expect(log()).toContain('ERROR Cannot connect to "nowhere": refused');
    expect(readOr(pidfile, "gone")).toBe("gone");
  });

  it("notices that the daemon was killed before it was ready", async () => {
    const { code, err } = await run("work", config, "-d", "--fail=killed");
    expect(code).toBe(137);
    expect(err).toContain("it was killed by SIGKILL before it was ready");
  });

  it("ends a daemon that does not get ready in time", async () => {
    const { code, err } = await run("work", config, "-d", "--fail=hang", "--timeout=1");
    expect(code).toBe(1);
    expect(err).toContain("not ready after 1 s");
    expect(runningPid()).toBeNull();
  });

  it("returns with status 0 when the daemon fails after it was ready", async () => {
    const { code, err } = await run("work", config, "-d", "--fail=late");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    await waitFor(() => log().includes("ERROR Cannot go on: late"), { what: "the error in the log" });
    await waitFor(() => runningPid() === null, { what: "the end of the daemon" });
  });

  it("logs a bug that would otherwise vanish with stderr", async () => {
    expect((await run("work", config, "-d", "--fail=bug")).code).toBe(0);
    await waitFor(() => log().includes("TypeError: nobody waits for this"), { what: "the stack in the log" });
    await waitFor(() => readOr(pidfile, "gone") === "gone", { what: "the end of the pidfile" });
  });

  it("makes the directories of its log and pidfile", async () => {
    [pidfile, logfile] = [`${directory}/run/a/job.pid`, `${directory}/log/b/job.log`];
    writeConfig("");
    expect(await run("work", config, "-d")).toEqual({ code: 0, out: "", err: "" });
    expect(runningPid()).not.toBeNull();
    expect(log()).toContain("working in");
  });

  it("needs a pidfile", async () => {
    const { code, err } = await run("work", config, "-d", "--set", "pidfile=");
    expect(code).toBe(1);
    expect(err).toContain("ERROR Daemon needs pidfile");
  });
});

describe("skyq -r -s -k", () => {
  it("reload the config and the log file", async () => {
    await run("work", config, "-d");
    Deno.renameSync(logfile, `${logfile}.old`);
    writeConfig("loop_delay = 7");
    expect(await run("work", config, "-r")).toEqual({ code: 0, out: "", err: "" });
    await waitFor(() => log().includes("reloaded, loop_delay 7"), { what: "the reload" });
    writeConfig("loop_delay = x");
    expect((await run("work", config, "-r")).code).toBe(1); // whoever asks for it is told first
    Deno.kill(runningPid()!, "SIGHUP");
    await waitFor(() => log().includes("ERROR Config not reloaded, the old one stays"), { what: "the refusal" });
    expect(runningPid()).not.toBeNull();
  });

  it("kill at once, the pidfile goes along", async () => {
    await run("work", config, "-d", "--step-ms=60000");
    expect((await run("work", config, "-k", "--wait")).code).toBe(0);
    expect([runningPid(), readOr(pidfile, "gone")]).toEqual([null, "gone"]);
  });

  it("stop a job whose config is broken by now, without a word", async () => {
    await run("work", config, "-d");
    writeConfig("log_size = x\nunknown = 1");
    expect(await run("work", config, "-s", "--wait")).toEqual({ code: 0, out: "", err: "" });
  });

  it("give up waiting after --timeout", async () => {
    await run("work", config, "-d", "--step-ms=60000");
    const { code, err } = await run("work", config, "-s", "--wait", "--timeout=0.2");
    expect(code).toBe(1);
    expect(err).toContain("still running after 0.2 s");
  });

  it("say why there is nothing to signal, with status 0, or 1 with --strict", async () => {
    const absent = await run("work", config, "-s");
    expect(absent.code).toBe(0);
    expect(absent.err).toContain("WARNING No pidfile, process not running");
    Deno.writeTextFileSync(pidfile, "999999999\n");
    const dead = await run("work", config, "-k", "--strict");
    expect(dead.code).toBe(1);
    expect(dead.err).toContain("WARNING pidfile exist, but process not running");
    const none = await run("work", config, "-r", "--set", "pidfile=");
    expect(none.err).toContain("WARNING No pidfile in config, nothing todo");
  });
});

describe("a command in the foreground", () => {
  /** Starts a command and waits until its log says `text`. */
  async function start(text: string, ...args: string[]): Promise<Deno.ChildProcess> {
    const child = command(...args).spawn();
    await waitFor(() => log().includes(text), { what: `"${text}" in the log` });
    return child;
  }

  it("ends a daemon by SIGINT with status 0", async () => {
    const child = await start("working", "work", config);
    child.kill("SIGINT");
    const { code, stderr } = await child.output();
    expect(code).toBe(0);
    expect(decoder.decode(stderr)).toContain("step finished");
  });

  it("ends a one-shot command by SIGINT with status 130, and keeps it out of the daemon's log", async () => {
    const child = command("once", config).spawn();
    const stderr = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
    let said = "";
    while (!said.includes("INFO waiting")) said += (await stderr.read()).value!;
    expect(readOr(`${pidfile}.setup`, "gone")).toContain(String(child.pid));
    child.kill("SIGINT");
    expect((await child.status).code).toBe(130);
    await stderr.cancel();
    await child.stdout.cancel();
    expect(readOr(`${pidfile}.setup`, "gone")).toBe("gone");
    expect(readOr(logfile, "none")).toBe("none");
  });

  it("leaves at once on a second SIGINT within a second", async () => {
    const child = await start("working", "work", config, "--step-ms=60000");
    child.kill("SIGINT");
    await waitFor(() => log().includes("Got SIGINT"), { what: "the first signal's line" });
    child.kill("SIGINT");
    expect((await child.output()).code).toBe(130);
    expect(readOr(pidfile, "gone")).toBe("gone");
  });

  it("leaves at once on SIGTERM with status 143", async () => {
    const child = await start("working", "work", config, "--step-ms=60000");
    child.kill("SIGTERM");
    expect((await child.output()).code).toBe(143);
    expect(readOr(pidfile, "gone")).toBe("gone");
  });

  it("takes over the pidfile of a killed one", async () => {
    const child = await start("working", "work", config);
    child.kill("SIGKILL");
    await child.output();
    expect(readOr(pidfile, "gone")).toContain(String(child.pid));
    const next = await start("Ignoring stale pidfile", "work", config);
    await waitFor(() => runningPid() === next.pid, { what: "the new pid" });
    next.kill("SIGTERM");
    await next.output();
  });

  it("ends quietly when nobody reads its output any more", async () => {
    const shell = new Deno.Command("bash", {
      args: [
        "-c",
        `set -o pipefail; "$0" run -A "$1" once "$2" --lines 100000 | head -n 1`,
        Deno.execPath(),
        PROGRAM,
        config,
      ],
      stderr: "piped",
      stdout: "piped",
    });
    const { code, stdout, stderr } = await shell.output();
    expect([code, decoder.decode(stdout), decoder.decode(stderr)]).toEqual([141, "line 0\n", ""]);
  });
});
