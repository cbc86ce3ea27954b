/**
 * A small program on the frame, for the tests of daemons and signals: `work` runs until it is stopped and writes to the
 * log what happens to it, `once` is a one-shot command.
 */
import { SkyqError } from "../../../src/base/errors.ts";
import { sleep } from "../../../src/base/time.ts";
import { runCli } from "../../../src/cli/cli.ts";
import { type CommandEntry, defineCommand } from "../../../src/cli/command.ts";

const work = defineCommand({
  name: "work",
  summary: "Beat until stopped",
  examples: ["skyq work conf.ini"],
  config: "any",
  daemon: true,
  options: {
    fail: { kind: "string", choices: ["early", "late", "bug", "killed", "hang"], help: "how to go wrong" },
    stepMs: { kind: "number", default: 20, help: "length of a step that a stop has to wait for" },
  },
  async run(ctx, options) {
    const fail = (message: string) => new SkyqError("connect", message, { hint: "Try later." });
    if (options.fail === "early") throw fail('Cannot connect to "nowhere": refused');
    if (options.fail === "killed") Deno.kill(Deno.pid, "SIGKILL");
    if (options.fail === "hang") await sleep(60_000);
    ctx.onReload((config) => ctx.log.info(`reloaded, loop_delay ${config.get("loop_delay")}`));
    ctx.log.info(`working in ${Deno.cwd()}`);
    await ctx.ready();
    if (options.fail === "late") throw fail("Cannot go on: late");
    if (options.fail === "bug") Promise.reject(new TypeError("nobody waits for this"));
    while (!ctx.signal.aborted) await sleep(options.stepMs);
    ctx.log.info("step finished");
  },
});

const once = defineCommand({
  name: "once",
  summary: "Wait or print, then end",
  examples: ["skyq once conf.ini"],
  config: "any",
  pidfileSuffix: "setup",
  options: { lines: { kind: "number", default: 0, help: "how many lines to print" } },
  async run(ctx, options) {
    if (options.lines > 0) {
      for (let index = 0; index < options.lines; index++) ctx.out.line(`line ${index}`);
      return;
    }
    ctx.log.info("waiting");
    await sleep(60_000, ctx.signal);
    ctx.signal.throwIfAborted();
  },
});

const COMMANDS: readonly CommandEntry[] = [work, once].map((command) => ({
  name: command.name,
  summary: command.summary,
  group: "Test",
  load: () => Promise.resolve(command),
}));

if (import.meta.main) Deno.exit(await runCli(Deno.args, COMMANDS));
