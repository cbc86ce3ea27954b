import { describe, expect, it } from "vitest";
import { type CommandEntry, defineCommand } from "../../../src/cli/command.ts";
import { commandHelp, commandList, shortHelp, VERSION } from "../../../src/cli/help.ts";

const add = defineCommand({
  name: "basket add",
  summary: "Put fruit into the basket",
  details:
    "First paragraph, long enough that it has to be broken somewhere before the hundredth column is reached, here." +
    "\n\nSecond.",
  examples: ["skyq basket add conf.ini apple pear"],
  config: "pair",
  args: { name: "FRUIT", help: "what to put in", many: true, required: true, choices: ["apple", "pear"] },
  options: {
    dryRun: { kind: "flag", alias: "n", aliases: ["simulate"], help: "change nothing" },
    weightMax: { kind: "number", default: 5, value: "KG", help: "limit" },
  },
  run: () => Promise.resolve(),
});
const weigh = defineCommand({
  name: "weigh",
  summary: "Weigh until stopped",
  examples: ["skyq weigh conf.ini -d"],
  config: "pair",
  daemon: true,
  run: () => Promise.resolve(),
});
const commands: CommandEntry[] = [
  { name: add.name, summary: add.summary, group: "Basket", load: () => Promise.resolve(add) },
  { name: weigh.name, summary: weigh.summary, group: "Scales", load: () => Promise.resolve(weigh) },
];

describe("commandList()", () => {
  it("shows every command under its group", () => {
    const text = commandList(commands);
    expect(text).toContain("Basket\n  basket add  Put fruit into the basket\n");
    expect(text).toContain("Scales\n  weigh       Weigh until stopped\n");
    expect(text).toContain("Usage: skyq COMMAND [SUBCOMMAND] CONFIG [ARGS…] [OPTIONS]");
  });

  it("shows one group", () => {
    expect(commandList(commands, "basket")).toMatch(/^Basket\n {2}basket add {2}Put/);
    expect(commandList(commands, "basket")).not.toContain("weigh");
  });
});

describe("commandHelp()", () => {
  it("tells everything about a command", () => {
    const [beforeCommon] = commandHelp(add).split("Options of every command");
    expect(beforeCommon).toBe(`Put fruit into the basket.

Usage: skyq basket add CONFIG FRUIT… [OPTIONS]

First paragraph, long enough that it has to be broken somewhere before the hundredth column is
reached, here.

Second.

Arguments
  FRUIT  what to put in: apple, pear

Options
  -n, --dry-run, --simulate  change nothing
      --weight-max KG        limit (default: 5)

`);
    expect(commandHelp(add)).toMatch(/Examples\n {2}skyq basket add conf.ini apple pear\n$/);
    expect(commandHelp(add)).not.toContain("--daemon");
  });

  it("tells a daemon's options", () => {
    expect(commandHelp(weigh)).toContain("Options of daemons\n  -d, --daemon");
  });
});

describe("shortHelp()", () => {
  it("names the version and the way to more", () => {
    expect(shortHelp()).toContain(`skyq ${VERSION}: `);
    expect(shortHelp()).toContain('"skyq --help"');
  });
});
