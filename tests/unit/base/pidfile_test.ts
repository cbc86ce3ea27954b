import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { type Logger, silentLog } from "../../../src/base/log.ts";
import { acquirePidfile, pidfileHolder } from "../../../src/base/pidfile.ts";

let directory = "";
let path = "";
beforeEach(() => {
  directory = Deno.makeTempDirSync();
  path = `${directory}/job.pid`;
});
afterEach(() => Deno.removeSync(directory, { recursive: true }));

/** A log that collects INFO lines into `lines`. */
function collecting(lines: string[]): Logger {
  return { ...silentLog, info: (line) => lines.push(line) };
}

function failure(act: () => unknown): SkyqError | null {
  try {
    act();
    return null;
  } catch (error) {
    return error as SkyqError;
  }
}

describe("acquirePidfile()", () => {
  it("writes our pid into the first line and takes the file away again", () => {
    const pidfile = acquirePidfile(path, silentLog);
    expect(Deno.readTextFileSync(path).split("\n")[0]).toBe(String(Deno.pid));
    expect(pidfileHolder(path)).toBe(Deno.pid);
    pidfile.release();
    pidfile.release();
    expect(pidfileHolder(path)).toBe("absent");
    expect([...Deno.readDirSync(directory)]).toEqual([]);
  });

  it("refuses while a process holds it, also one that wrote only its number", () => {
    for (const text of [`${Deno.ppid}\n`, String(Deno.ppid)]) {
      Deno.writeTextFileSync(path, text);
      const error = failure(() => acquirePidfile(path, silentLog));
      expect([error?.message, error?.exit]).toEqual(["Pidfile exists, another process running?", 6]);
      expect(Deno.readTextFileSync(path)).toBe(text);
    }
    Deno.removeSync(path);
    acquirePidfile(path, silentLog);
    expect(failure(() => acquirePidfile(path, silentLog))?.fault).toBe("already-running");
  });

  const stale: [string, () => string][] = [
    ["a process that is gone", () => "999999999\n"],
    ["no number at all", () => "x\n"],
    ["our own number, written by somebody else before us", () => `${Deno.pid}\n`],
    ["a number that another process has by now", () => `${Deno.ppid}\nsome-other-boot 123\n`],
  ];
  for (const [what, text] of stale) {
    it(`takes over a file that names ${what}`, () => {
      Deno.writeTextFileSync(path, text());
      const lines: string[] = [];
      const pidfile = acquirePidfile(path, collecting(lines));
      expect(lines).toEqual(["Ignoring stale pidfile"]);
      expect(pidfileHolder(path)).toBe(Deno.pid);
      pidfile.release();
    });
  }

  it("takes a zombie for dead", async () => {
    // Its parent, a sleep by the time it ends, never asks how it ended.
    const parent = new Deno.Command("bash", {
      args: ["-c", "sleep 0.3 & echo $!; exec sleep 30"],
      stdout: "piped",
    }).spawn();
    const reader = parent.stdout.getReader();
    const zombie = Number(new TextDecoder().decode((await reader.read()).value));
    for (let tries = 0; tries < 200; tries++) {
      if (/\) Z /.test(Deno.readTextFileSync(`/proc/${zombie}/stat`))) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(Deno.readTextFileSync(`/proc/${zombie}/stat`)).toContain(") Z ");
    Deno.writeTextFileSync(path, `${zombie}\n`);
    expect(pidfileHolder(path)).toBe("dead");
    acquirePidfile(path, silentLog).release();
    parent.kill();
    await reader.cancel();
    await parent.status;
  });

  it("leaves a file alone that is no longer ours", () => {
    const pidfile = acquirePidfile(path, silentLog);
    Deno.writeTextFileSync(path, "1\n");
    pidfile.release();
    expect(Deno.readTextFileSync(path)).toBe("1\n");
  });

  it("lets one of many starters win a stale file", async () => {
    Deno.writeTextFileSync(path, "999999999\n");
    const module = new URL("../../../src/base/pidfile.ts", import.meta.url).href;
    const log = new URL("../../../src/base/log.ts", import.meta.url).href;
    // Each begins when it is told to, and lives until all have tried.
    const program = `import { acquirePidfile } from "${module}"; import { silentLog } from "${log}";
      const told = Deno.stdin.readable.getReader();
      console.log("ready");
      await told.read();
      try { acquirePidfile(${JSON.stringify(path)}, silentLog); console.log("won"); } catch { console.log("lost"); }
      await told.read();`;
    const file = `${directory}/starter.ts`;
    Deno.writeTextFileSync(file, program);
    const starters = Array.from({ length: 6 }, () => {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", file],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      return { child, stdin: child.stdin.getWriter(), line: async () => (await lines.read()).value?.trim() };
    });
    for (const { line } of starters) expect(await line()).toBe("ready");
    for (const { stdin } of starters) void stdin.write(new Uint8Array(1));
    const results = await Promise.all(starters.map(({ line }) => line()));
    expect(results.sort()).toEqual(["lost", "lost", "lost", "lost", "lost", "won"]);
    for (const { child, stdin } of starters) {
      await stdin.close();
      await child.status;
    }
  });

  it("makes the directories that are missing", () => {
    const pidfile = acquirePidfile(`${directory}/a/b/job.pid`, silentLog);
    expect(Deno.readTextFileSync(`${directory}/a/b/job.pid`)).toMatch(new RegExp(`^${Deno.pid}\n`));
    pidfile.release();
  });

  it("says why it cannot write, and what to do", () => {
    Deno.writeTextFileSync(`${directory}/file`, "");
    const error = failure(() => acquirePidfile(`${directory}/file/job.pid`, silentLog));
    expect(error?.message).toMatch(/^Cannot write pidfile ".*\/file\/job\.pid": ./);
    expect(error?.hint).toContain('"pidfile"');
  });
});
