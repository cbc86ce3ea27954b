import { describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { type Command, type CommandEntry, defineCommand } from "../../../src/cli/command.ts";
import { optionValues, readOptions } from "../../../src/cli/options.ts";
import { asCalled, parseCommandLine, usageLine } from "../../../src/cli/parse.ts";

const nothing = () => Promise.resolve();
const examples = ["skyq x"];
const TABLES = { name: "TABLE", help: "a table", many: true };

const commands: CommandEntry[] = [
  defineCommand({
    name: "provider add",
    summary: "Add",
    examples,
    config: "provider",
    args: TABLES,
    options: { all: { kind: "flag", help: "all" } },
    run: nothing,
  }),
  defineCommand({ name: "provider tables", summary: "List", examples, config: "provider", run: nothing }),
  defineCommand({
    name: "subscriber add",
    summary: "Add",
    examples,
    config: "pair",
    args: { ...TABLES, required: true },
    options: {
      expectSync: { kind: "flag", aliases: ["excect-sync"], help: "rows are there" },
      skipTruncate: { kind: "flag", help: "keep rows" },
      skipMissing: { kind: "flag", help: "skip" },
      timeout: { kind: "number", alias: "t", min: 0, help: "limit" },
      handler: { kind: "string", default: "plain", choices: ["plain", "shard"], help: "handler" },
      where: { kind: "string", help: "condition" },
      copyNode: { kind: "list", help: "nodes" },
    },
    run: nothing,
  }),
  defineCommand({
    name: "compare",
    summary: "Compare",
    examples,
    config: "pair",
    args: TABLES,
    options: { dead: { kind: "list", help: "nodes" } },
    run: nothing,
  }),
  defineCommand({
    name: "fkeys",
    summary: "Keys",
    examples,
    config: "pair",
    args: { name: "STATE", help: "which", choices: ["pending", "active"] },
    run: nothing,
  }),
  defineCommand({ name: "replay", summary: "Replay", examples, config: "pair", daemon: true, run: nothing }),
  defineCommand({
    name: "upgrade",
    summary: "Upgrade",
    examples,
    config: "none",
    args: [{ name: "CONNSTR", help: "where", required: true }, { name: "TO", help: "version" }],
    run: nothing,
  }),
].map((command: Command) => ({
  name: command.name,
  summary: command.summary,
  group: "Test",
  load: () => Promise.resolve(command),
}));

/** What a line is understood as, short: `command | config | args | options given`. */
async function read(line: string | string[], configFirst = false): Promise<string> {
  const argv = typeof line === "string" ? line.split(" ").filter((word) => word !== "") : line;
  const request = await parseCommandLine(argv, commands, { configFirst });
  if (request.kind === "help") return `help ${request.topic}`;
  if (request.kind !== "run") return request.kind;
  const options = [...request.options].map(([name, value]) => value === 1 ? name : `${name}=${value}`).join(" ");
  return `${request.command.name} | ${request.config} | ${request.args.join(" ")} | ${options}`;
}

async function failure(line: string): Promise<SkyqError> {
  try {
    throw new Error(`Understood as ${await read(line)}`);
  } catch (error) {
    if (error instanceof SkyqError) return error;
    throw error;
  }
}

describe("parseCommandLine()", () => {
  const lines: [string, string][] = [
    ["provider add c.ini a b", "provider add | c.ini | a b | "],
    ["c.ini provider add a b", "provider add | c.ini | a b | "],
    ["-v c.ini -q provider add --all", "provider add | c.ini |  | verbose quiet all"],
    ["provider -v add --all c.ini", "provider add | c.ini |  | verbose all"],
    ["provider add c.ini compare", "provider add | c.ini | compare | "],
    ["replay c.ini -d", "replay | c.ini |  | daemon"],
    ["c.ini replay -dvv", "replay | c.ini |  | daemon verbose=2"],
    ["-d replay c.ini", "replay | c.ini |  | daemon"],
    ["replay c.ini -s --wait --timeout 3", "replay | c.ini |  | stop wait timeout=3"],
    // a command's name as config, table or value
    ["compare ./compare compare", "compare | ./compare | compare | "],
    ["compare compare", "compare | compare |  | "],
    ["./provider provider add t", "provider add | ./provider | t | "],
    ["--dead replay compare c.ini t", "compare | c.ini | t | dead=replay"],
    ["--dead=replay c.ini compare t", "compare | c.ini | t | dead=replay"],
    ["--set job_name=replay compare c.ini", "compare | c.ini |  | set=job_name=replay"],
    ["--set replay c.ini compare", "compare | c.ini |  | set=replay"],
    // options: spellings, prefixes, values
    ["subscriber add c.ini t --expect-sync", "subscriber add | c.ini | t | expectSync"],
    ["subscriber add c.ini t --excect-sync", "subscriber add | c.ini | t | expectSync"],
    ["subscriber add c.ini t --exp", "subscriber add | c.ini | t | expectSync"],
    ["subscriber add c.ini t --ex", "subscriber add | c.ini | t | expectSync"],
    ["subscriber add c.ini t --skip-t --time 5", "subscriber add | c.ini | t | skipTruncate timeout=5"],
    ["subscriber add c.ini t -t5", "subscriber add | c.ini | t | timeout=5"],
    ["subscriber add c.ini t -vt 0.5", "subscriber add | c.ini | t | verbose timeout=0.5"],
    ["subscriber add c.ini t --where=a=b", "subscriber add | c.ini | t | where=a=b"],
    ["subscriber add c.ini t --where --all", "subscriber add | c.ini | t | where=--all"],
    ["subscriber add c.ini t --copy-node a,b --copy-node c", "subscriber add | c.ini | t | copyNode=a,b,c"],
    ["subscriber add c.ini -- --t -x", "subscriber add | c.ini | --t -x | "],
    ["subscriber add -- c.ini t", "subscriber add | c.ini | t | "],
    ["--where compare subscriber add c.ini t", "subscriber add | c.ini | t | where=compare"],
    ["fkeys c.ini pending", "fkeys | c.ini | pending | "],
    // no config
    ["upgrade dbname=x 3", "upgrade | null | dbname=x 3 | "],
    ["c.ini upgrade dbname=x", "upgrade | c.ini | dbname=x | "],
    ["subscriber add --ini", "subscriber add | null |  | ini"],
    ["replay --ini --set log_count=1", "replay | null |  | ini set=log_count=1"],
    ["subscriber add c.ini --ini", "subscriber add | c.ini |  | ini"],
    // help and version
    ["", "shortHelp"],
    ["--help", "help null"],
    ["-h", "help null"],
    ["help", "help null"],
    ["help replay", "help replay"],
    ["help provider add", "help provider add"],
    ["help provider", "help provider"],
    ["provider --help", "help provider"],
    ["provider add --help", "help provider add"],
    ["c.ini provider add --he", "help provider add"],
    ["-V", "version"],
    ["--version", "version"],
    ["replay c.ini -V", "version"],
  ];
  for (const [line, expected] of lines) {
    it(`understands "skyq ${line}"`, async () => expect(await read(line)).toBe(expected));
  }

  it("takes the config first where asked to and both would do", async () => {
    expect(await read("compare compare t", true)).toBe("compare | compare | t | ");
    expect(await read("replay compare t", true)).toBe("compare | replay | t | ");
    expect(await read("compare c.ini t", true)).toBe("compare | c.ini | t | ");
  });

  it("takes an empty word and one dash as words", async () => {
    expect(await read(["compare", "c.ini", "", "-"])).toBe("compare | c.ini |  - | ");
  });

  const errors: [string, string, string?][] = [
    ["c.ini", "need command, use --help for help"],
    ["-v", "need command, use --help for help"],
    ["foo", "Unknown command 'foo', use --help for help"],
    ["tables", "Unknown command 'tables'", 'Did you mean "provider tables"?'],
    ["tabels c.ini", "Unknown command 'tabels'", 'Did you mean "provider tables"?'],
    ["add c.ini", "Unknown command 'add'", 'Did you mean "provider add" or "subscriber add"?'],
    ["ver", "Unknown command 'ver'", 'Did you mean "--version"?'],
    ["c.ini repaly", "Unknown command 'repaly', use --help for help", 'Did you mean "replay"?'],
    ["repaly c.ini -d", "Unknown command 'repaly', use --help for help", 'Did you mean "replay"?'],
    ["help foo", "Unknown command 'foo', use --help for help"],
    ["replay", "need config file, use --help for help", "Usage: skyq replay CONFIG [OPTIONS]"],
    ["provider", "need subcommand", "Known: add, tables."],
    ["c.ini provider", "need subcommand"],
    ["provider c.ini", "need subcommand"],
    ["c.ini provider ad", "bad subcommand", 'Did you mean "add"?'],
    ["provider xyz c.ini", "bad subcommand", "Known: add, tables."],
    ["--foo", 'Unknown option "--foo"'],
    ["replay c.ini --foo", 'Unknown option "--foo"', "Usage: skyq replay CONFIG [OPTIONS]"],
    ["replay c.ini -x", 'Unknown option "-x"'],
    ["provider tables c.ini -d", 'Unknown option "-d"'],
    ["subscriber add c.ini t --expct-sync", 'Unknown option "--expct-sync"', 'Did you mean "--expect-sync"?'],
    ["subscriber add c.ini t --skip", 'Cannot read option "--skip": it may mean --skip-truncate, --skip-missing'],
    ["subscriber add c.ini t --expect-sync=1", 'Cannot read option "--expect-sync": it takes no value'],
    ["subscriber add c.ini t --timeout", 'Cannot read option "--timeout": its value is missing'],
    ["subscriber add c.ini t --timeout=ten", 'Cannot read option "--timeout": "ten" is not a number'],
    ["subscriber add c.ini t --timeout -1", 'Cannot read option "--timeout": -1 is less than 0'],
    ["subscriber add c.ini t --handler=shad", 'Cannot read option "--handler": "shad" is none of'],
    ["subscriber add c.ini", 'Cannot run "subscriber add": TABLE is missing'],
    ["fkeys c.ini pendin", 'Cannot read STATE: "pendin" is none of "pending", "active"'],
    ["fkeys c.ini pending x", 'Cannot run "fkeys": one word too many, "x"'],
    ["provider tables c.ini t", 'Cannot run "provider tables": one word too many, "t"'],
    ["upgrade", 'Cannot run "upgrade": CONNSTR is missing'],
    ["upgrade a --ini", 'Unknown option "--ini"'],
  ];
  for (const [line, message, hint] of errors) {
    it(`refuses "skyq ${line}" with status 2`, async () => {
      const error = await failure(line);
      expect(error.message).toContain(message);
      expect(error.exit).toBe(2);
      if (hint !== undefined) expect(error.hint).toContain(hint);
    });
  }

  it("makes of the same seeded words either a request or an error with a message, and ends", async () => {
    const words = [
      "c.ini",
      "provider",
      "add",
      "compare",
      "--set",
      "a=b",
      "--",
      "-v",
      "--dead",
      "-dq",
      "--=",
      "-",
      "--x=",
      "",
    ];
    let seed = 42;
    const random = (n: number) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % n;
    for (let round = 0; round < 3000; round++) {
      const argv = Array.from({ length: random(7) }, () => words[random(words.length)]!);
      try {
        await read(argv);
      } catch (error) {
        if (!(error instanceof SkyqError)) throw new Error(`Seed 42, line ${JSON.stringify(argv)}`, { cause: error });
      }
    }
  });
});

describe("asCalled()", () => {
  it("knows the originals' names", () => {
    expect(asCalled("/usr/bin/skyq", ["a"])).toEqual({ argv: ["a"], configFirst: false });
    expect(asCalled("./londiste.py", ["a"])).toEqual({ argv: ["a"], configFirst: true });
    expect(asCalled("londiste", ["a"]).configFirst).toBe(true);
    expect(asCalled("pgqd", ["-d", "a"]).argv).toEqual(["ticker", "-d", "a"]);
    expect(asCalled("pgqd", []).argv).toEqual([]);
    expect(asCalled("qadmin", ["-d", "a"]).argv).toEqual(["console", "-d", "a"]);
  });

  it("takes pgqadm's commands", () => {
    const asPgqadm = (...argv: string[]) => asCalled("/usr/bin/pgqadm.py", argv);
    expect(asPgqadm("t.ini", "ticker", "-d")).toEqual({ argv: ["t.ini", "ticker", "-d"], configFirst: true });
    expect(asPgqadm("-v", "t.ini", "register", "q", "status").argv).toEqual(
      ["-v", "t.ini", "consumer", "register", "q", "status"],
    );
    expect(asPgqadm("config", "config").argv).toEqual(["config", "queue", "config"]);
    expect(asPgqadm("--ini").argv).toEqual(["--ini"]);
  });
});

describe("optionValues()", () => {
  it("leaves commas alone where they belong to the value", () => {
    const specs = { arg: { kind: "list", commas: false, help: "one" } } as const;
    expect(optionValues(specs, readOptions(["--arg", "a,b", "--arg=c"], specs).values)).toEqual({ arg: ["a,b", "c"] });
  });

  it("fills in what was not given", async () => {
    const command = await commands.find(({ name }) => name === "subscriber add")!.load();
    expect(optionValues(command.options, new Map())).toEqual({
      expectSync: false,
      skipTruncate: false,
      skipMissing: false,
      timeout: null,
      handler: "plain",
      where: null,
      copyNode: [],
    });
    const given = new Map<string, number | string | string[]>([["copyNode", ["a, b", "c"]], ["timeout", 0]]);
    expect(optionValues(command.options, given)).toMatchObject({ copyNode: ["a", "b", "c"], timeout: 0 });
  });
});

describe("usageLine()", () => {
  const usages: [string, string][] = [
    ["subscriber add", "skyq subscriber add CONFIG TABLE… [OPTIONS]"],
    ["provider add", "skyq provider add CONFIG [TABLE…] [OPTIONS]"],
    ["upgrade", "skyq upgrade CONNSTR [TO] [OPTIONS]"],
  ];
  for (const [name, expected] of usages) {
    it(`is "${expected}"`, async () => {
      expect(usageLine(await commands.find((entry) => entry.name === name)!.load())).toBe(expected);
    });
  }
});
