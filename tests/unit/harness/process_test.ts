import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { isAlive } from "../../harness/proc.ts";
import { guard, skyq, skyqCommand, spawnSkyq } from "../../harness/process.ts";
import { waitFor } from "../../harness/wait_for.ts";

const processModule = new URL("../../harness/process.ts", import.meta.url).href;

/** Stands for the binary: what is tested is how the harness starts, watches and ends a process. */
const SCRIPT = `#!/bin/sh
case "$1" in
  cat) cat; echo "in $PWD with $WORD" >&2; exit 5 ;;
  wait) echo ready; exec sleep 300 ;;
  stubborn) trap '' TERM; echo ready; while :; do sleep 1; done ;;
esac
`;

describe("skyq as a process", () => {
  let dir: string;
  beforeAll(async () => {
    dir = await Deno.makeTempDir();
    await Deno.writeTextFile(`${dir}/skyq`, SCRIPT, { mode: 0o755 });
  });
  afterAll(() => Deno.remove(dir, { recursive: true }));
  beforeEach(() => vi.stubEnv("SKYQ_BIN", `${dir}/skyq`));
  afterEach(() => vi.unstubAllEnvs());

  it("runs to its end with input, directory and environment", async () => {
    const result = await skyq(["cat"], { stdin: "one\ntwo\n", cwd: "/", env: { WORD: "words" } });
    expect(result).toEqual({ code: 5, stdout: "one\ntwo\n", stderr: "in / with words\n" });
  });

  it("kills a run that takes too long and shows what it wrote", async () => {
    await expect(skyq(["wait"], { timeoutMs: 200 })).rejects.toThrow("did not end within 200 ms\nready");
  });

  it("watches a process until a signal ends it", async () => {
    const child = spawnSkyq(["wait"]);
    await child.waitForOutput(/ready/);
    expect([child.hasEnded, isAlive(child.pid), child.residentMb > 0]).toEqual([false, true, true]);
    expect((await child.kill("SIGTERM")).code).toBe(143);
    expect([child.hasEnded, isAlive(child.pid), child.residentMb]).toEqual([true, false, 0]);
  });

  it("waitForOutput() fails as soon as the process ended without it", async () => {
    await using child = spawnSkyq(["cat"], { stdin: "other" });
    await expect(child.waitForOutput(/ready/)).rejects.toThrow(/ended without \/ready\/\nother/);
  });

  it("leaves nothing when disposed of, also of a process that ignores SIGTERM", async () => {
    let pid: number;
    {
      await using child = spawnSkyq(["stubborn"]);
      await child.waitForOutput(/ready/);
      child.signal("SIGTERM");
      pid = child.pid;
    }
    expect(isAlive(pid)).toBe(false);
  });

  it("dies with the test's process, however that ends", async () => {
    const parent = new Deno.Command(Deno.execPath(), {
      args: [
        ...["eval", "--no-check"],
        `import { spawnSkyq } from "${processModule}";
         const child = spawnSkyq(["wait"]);
         await child.waitForOutput(/ready/);
         console.log(child.pid);`,
      ],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const first = await parent.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
    const pid = Number(first.value);
    expect(isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    await parent.status;
    await waitFor(() => !isAlive(pid), { what: "the end of skyq" });
  });

  it("a released guard leaves the process alone", async () => {
    const child = new Deno.Command("sleep", { args: ["300"] }).spawn();
    guard(child.pid)();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(isAlive(child.pid)).toBe(true);
    child.kill("SIGKILL");
    await child.status;
  });

  it("runs from sources when no binary is named", () => {
    vi.stubEnv("SKYQ_BIN", undefined);
    const command = skyqCommand();
    expect(command[0]).toBe(Deno.execPath());
    expect(command.at(-1)).toMatch(/^\/.*\/src\/main\.ts$/);
  });
});
