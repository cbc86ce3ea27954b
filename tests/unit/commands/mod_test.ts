import { describe, expect, it } from "vitest";
import { commandHelp, commandList } from "../../../src/cli/help.ts";
import { optionsOf, readOptions } from "../../../src/cli/options.ts";
import { parseCommandLine } from "../../../src/cli/parse.ts";
import { COMMANDS } from "../../../src/commands/mod.ts";
import { REQUIRED } from "../../../src/config/keys.ts";

describe("the list of commands", () => {
  it("names each once, and fits 100 columns", () => {
    expect(new Set(COMMANDS.map(({ name }) => name)).size).toBe(COMMANDS.length);
    for (const line of commandList(COMMANDS).split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });
});

// Each entry is held against the command it loads, so that the table of contents cannot lie.
for (const entry of COMMANDS) {
  describe(`the command "${entry.name}"`, () => {
    it("is what its entry says, with a summary fit for the list", async () => {
      const command = await entry.load();
      expect([command.name, command.summary]).toEqual([entry.name, entry.summary]);
      expect(command.summary).toMatch(/^[A-Z].*[^.]$/);
      expect(entry.name).toMatch(/^[a-z0-9.-]+( [a-z0-9.-]+)?$/);
      expect(Object.keys(REQUIRED)).toContain(command.config);
    });

    it("has examples that can be read, and ends its arguments with the repeated one", async () => {
      const command = await entry.load();
      expect(command.examples.length).toBeGreaterThan(0);
      for (const example of command.examples) {
        const [program, ...argv] = wordsOf(example);
        expect(program).toBe("skyq");
        const request = await parseCommandLine(argv, COMMANDS);
        expect([example, request.kind === "run" && request.command.name]).toEqual([example, entry.name]);
      }
      expect(command.args.slice(0, -1).some(({ many }) => many)).toBe(false);
    });

    it("has options that do not hide the frame's", async () => {
      const command = await entry.load();
      const all = optionsOf(command);
      for (const [property, spec] of Object.entries(command.options)) expect(all[property]).toBe(spec);
      const frame = { ...optionsOf({ ...command, options: {} }) };
      for (const property of Object.keys(command.options)) expect(Object.keys(frame)).not.toContain(property);
      const letters = Object.values(all).flatMap(({ alias }) => alias ?? []);
      // psql's -h is the host; --help is still there.
      const taken = letters.filter((letter, index) => letters.indexOf(letter) !== index);
      expect(taken).toEqual(entry.name === "console" ? ["h"] : []);
      expect(readOptions(["--help"], all).values.has("help")).toBe(true);
    });

    it("explains itself", async () => {
      const text = commandHelp(await entry.load());
      expect(text).toContain(`Usage: skyq ${entry.name}`);
      expect(text).toContain("Examples\n");
      expect(text).not.toContain("undefined");
    });
  });
}

/** Words of an example as a shell sees them, quotes taken off. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3]!);
}
