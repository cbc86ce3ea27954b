import process from "node:process";
import { SkyqError } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import type { Output } from "../cli/output.ts";
import { runInteractive, runText } from "../engine/console/console.ts";
import { ConsoleSession, type Printer } from "../engine/console/session.ts";

export const console = defineCommand({
  name: "console",
  summary: "Administer queues by typing statements, as qadmin does",
  details:
    "Statements end with a semicolon; `show help;` lists them; what is none of them goes to the server as SQL. " +
    "TAB completes words and names, Ctrl-C cancels. Lines are kept in ~/.qadmin_history, those with passwords are not. " +
    "Without a terminal the input is read to its end, and the first error ends the run.",
  examples: [
    "skyq console -h db1.example.com -U pgq shop -Q orders_queue",
    'skyq console shop -c "show queue *"',
    "skyq console shop -f setup.sql",
  ],
  config: "none",
  args: { name: "DB", help: "name of a database, or a connect string" },
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
    const dsn = connectString(args[0] ?? null, options);
    const printer = printerTo(ctx.out);
    const session = await ConsoleSession.open({ dsn, queue: options.queue, printer, log: ctx.log });
    try {
      if (options.command !== null) await runText(session, options.command);
      else if (options.file !== null && options.file !== "-") await runText(session, readFile(options.file));
      else if (options.file === "-" || !process.stdin.isTTY) await runText(session, await readStdin());
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

/** A connect string of psql's options. @throws {SkyqError} `usage` */
function connectString(
  database: string | null,
  options: { host: string | null; port: string | null; user: string | null; dbname: string | null },
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
      out.table(columns.map((title, index) => ({ key: String(index), title })), records);
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
