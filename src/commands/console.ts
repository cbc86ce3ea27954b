import process from "node:process";
import { SkyqError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { defineCommand } from "../cli/command.ts";
import { type Output, writeStderr } from "../cli/output.ts";
import { loadConfig } from "../config/config.ts";
import { parseTarget, type Target } from "../db/target.ts";
import { runInteractive, runText } from "../engine/console/console.ts";
import { ConsoleSession, type Printer } from "../engine/console/session.ts";
import { tickerTarget } from "./_targets.ts";

export const console = defineCommand({
  name: "console",
  summary: "Administer queues by typing statements, as qadmin does",
  details:
    "Statements end with a semicolon; `show help;` lists them; what is none of them goes to the server as SQL. " +
    "TAB completes words and names, Ctrl-C cancels. Lines are kept in ~/.qadmin_history, those with passwords are not. " +
    "Without a terminal the input is read to its end, and the first error ends the run.",
  examples: [
    "skyq console ticker.ini",
    "skyq console -h db1.example.com -U pgq shop -Q orders_queue",
    'skyq console shop -c "show queue *"',
    "skyq console shop -f setup.sql",
  ],
  config: "none",
  args: { name: "DB", help: "name of a database, a connect string, or a config file (its db and pgq_queue_name)" },
  options: {
    host: { kind: "string", alias: "h", value: "HOST", help: "server, or directory of its socket" },
    port: { kind: "string", alias: "p", value: "PORT", help: "its port" },
    user: { kind: "string", alias: "U", value: "ROLE", help: "role" },
    dbname: { kind: "string", alias: "d", value: "NAME", help: "database" },
    queue: { kind: "string", alias: "Q", value: "QUEUE", help: "queue that statements mean when they name none" },
    command: { kind: "string", alias: "c", value: "TEXT", help: "run these statements and end" },
    file: { kind: "string", alias: "f", value: "FILE", help: "run the statements of a file and end; - is stdin" },
  },
  async run(ctx, options, args) {
    if (options.command !== null && options.file !== null) {
      throw new SkyqError("usage", "Cannot take --command and --file together");
    }
    const isTalk = options.command === null && options.file === null && process.stdin.isTTY;
    const { target, queue } = whereTo(args[0] ?? null, options);
    const session = await ConsoleSession.open({
      target,
      queue,
      printer: printerTo(ctx.out),
      log: isTalk ? plainLog(ctx.log) : ctx.log,
    });
    try {
      if (options.command !== null) await runText(session, options.command);
      else if (options.file !== null && options.file !== "-") await runText(session, readFile(options.file));
      else if (!isTalk) await runText(session, await readStdin());
      else {
        const home = Deno.env.get("HOME");
        const historyFile = home === undefined ? null : `${home}/.qadmin_history`;
        await runInteractive(session, { historyFile, signal: ctx.signal });
      }
    } finally {
      await session.close();
    }
  },
});

type Where = Record<"host" | "port" | "user" | "dbname" | "queue", string | null>;

/** The database, and the default queue. @throws {SkyqError} `usage`, `config` */
function whereTo(database: string | null, options: Where): { target: Target; queue: string | null } {
  if (database === null || !isConfigFile(database)) {
    return { target: parseTarget(connectString(database, options)), queue: options.queue };
  }
  for (const name of ["host", "port", "user", "dbname"] as const) {
    if (options[name] !== null) throw new SkyqError("usage", `Cannot take --${name} together with a config file`);
  }
  const config = loadConfig({ file: database, kind: "database", env: Deno.env.toObject() });
  return { target: tickerTarget(config), queue: options.queue ?? config.get("pgq_queue_name") };
}

/** A file of this name with a section in it: what all other commands are given here. */
function isConfigFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile && /^[ \t]*\[[\w ]+\]/m.test(Deno.readTextFileSync(path));
  } catch {
    return false;
  }
}

/** For a person at the terminal: no dates, no process ids. */
function plainLog(log: Logger): Logger {
  const say = (level: string) => (message: string) => writeStderr(`${level}${message}\n`);
  return { ...log, info: say(""), warning: say("WARNING: "), error: say("ERROR: "), critical: say("CRITICAL: ") };
}

/** A connect string of psql's options. @throws {SkyqError} `usage` */
function connectString(
  database: string | null,
  options: Omit<Where, "queue">,
): string {
  const { host, port, user } = options;
  const text = options.dbname ?? database ?? "";
  if (options.dbname !== null && database !== null) {
    throw new SkyqError("usage", "Cannot take --dbname and a database's name together");
  }
  const isUri = /^postgres(ql)?:\/\//i.test(text);
  const given = Object.entries({ host, port, user }).filter(([, value]) => value !== null);
  if (isUri && given.length > 0) {
    throw new SkyqError("usage", `Cannot take --${given[0]![0]} together with a URI: write it into the URI`);
  }
  if (isUri) return text;
  const base = text.includes("=") ? text : text === "" ? "" : `dbname=${quote(text)}`;
  return [base, ...given.map(([name, value]) => `${name}=${quote(value!)}`)].join(" ");
}

function quote(value: string): string {
  return `'${value.replace(/[\\']/g, "\\$&")}'`;
}

function printerTo(out: Output): Printer {
  return {
    line: (text) => out.line(text),
    rows({ columns, rows }) {
      const records = rows.map((row) => Object.fromEntries(row.map((value, index) => [String(index), value])));
      out.table(columns.map((title, index) => ({ key: String(index), title })), records, {
        keepLines: true,
      });
      out.line(`(${rows.length} ${rows.length === 1 ? "row" : "rows"})`);
    },
  };
}

function readFile(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    throw new SkyqError("usage", `Cannot read file "${path}": ${(cause as Error).message}`, { cause });
  }
}

async function readStdin(): Promise<string> {
  return await new Response(Deno.stdin.readable).text();
}
