/** `deno task demo` itself: what a stranger runs first. */
import { describe, expect, it } from "vitest";
import { fileURLToPath } from "node:url";
import { guard } from "../../harness/process.ts";
import { isAlive } from "../../harness/proc.ts";
import { waitFor } from "../../harness/wait_for.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Runs the demo. @param watch sees all output so far whenever there is more */
async function runDemo(args: string[], watch: (text: string, child: Deno.ChildProcess) => void = () => {}) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "scripts/demo.ts", ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const release = guard(child.pid);
  let text = "";
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += part;
    watch(text, child);
  }
  const { code } = await child.status;
  release();
  return { code, text };
}

describe("the demo", () => {
  it("ends with 0 and equal sides", async () => {
    const { code, text } = await runDemo(["--seconds", "3"]);
    expect({ code, text }).toEqual({ code: 0, text });
    expect(text.match(/rows on both sides, md5 [0-9a-f]{32} +equal/g)?.length, text).toBe(3);
    expect(text).toMatch(/kill -9 \d+/);
    expect(Number(/events replayed +([\d,]+)/.exec(text)?.[1]?.replaceAll(",", ""))).toBeGreaterThan(100);
  });

  it("cleans up after ctrl-C", async () => {
    let daemons: number[] = [];
    let isInterrupted = false;
    const { code, text } = await runDemo(["--seconds", "600"], (text, child) => {
      if (isInterrupted || !/the writers go on/.test(text)) return;
      isInterrupted = true;
      const dir = /cat (\S+)\/demo\.ini/.exec(text)![1]!;
      daemons = ["demo", "demo_ticker"].map((job) => Number(Deno.readTextFileSync(`${dir}/${job}.pid`).split("\n")[0]));
      expect(daemons.map(isAlive)).toEqual([true, true]);
      child.kill("SIGINT");
    });
    expect({ code, text }).toEqual({ code: 130, text });
    expect(daemons.length).toBe(2);
    await waitFor(() => !daemons.some(isAlive), { what: "the daemons to be gone" });
    expect(() => Deno.statSync(/cat (\S+)\/demo\.ini/.exec(text)![1]!)).toThrow(Deno.errors.NotFound);
  });
});
