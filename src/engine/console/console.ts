// The console's statements, one after the other: from a line of arguments, a file, or somebody's keyboard.

import { createInterface } from "node:readline";
import process from "node:process";
import { messageOf, SkyqError } from "../../base/errors.ts";
import { redactSecrets } from "../../base/file_log.ts";
import { requirePgq } from "../queue_admin/names.ts";
import { completions } from "./completion.ts";
import { matchPattern } from "./grammar.ts";
import { lex, splitStatements, type Statement } from "./lexer.ts";
import type { ConsoleSession } from "./session.ts";
import { STATEMENTS } from "./statements.ts";

/** Lines of the history file that are kept. */
const HISTORY_COUNT = 1000;

/**
 * Runs all statements of a text; the last one may be without its semicolon.
 * @throws {SkyqError} the first error, which says where it was in a text of several lines
 */
export async function runText(session: ConsoleSession, text: string): Promise<void> {
  for (const statement of splitStatements(`${text}\n;`).statements) {
    if (session.isOver) return;
    try {
      await runStatement(session, statement);
    } catch (error) {
      if (!(error instanceof SkyqError) || !text.trim().includes("\n")) throw error;
      const line = text.slice(0, statement.tokens[0]!.start).split("\n").length;
      const { message, hint, fault, facts, sqlstate, cause } = error;
      const place = `This is the statement of line ${line}; those before it were run.`;
      throw new SkyqError(fault, message, {
        hint: hint === undefined ? place : `${hint} ${place}`,
        facts,
        sqlstate,
        cause,
      });
    }
  }
}

async function runStatement(session: ConsoleSession, { text, tokens }: Statement): Promise<void> {
  if (isBackslash(text)) return await runBackslash(session, text);
  for (const { pattern, run } of STATEMENTS) {
    const values = matchPattern(pattern, tokens);
    if (values !== null) return await withQueues(session, run(session, values));
  }
  const words = tokens.map(({ value }) => value);
  if (words[0] === "copy" && (words.includes("stdin") || words.includes("stdout"))) {
    throw new SkyqError("usage", "Cannot run COPY here: there is no data stream", {
      hint: "psql has \\copy for this.",
    });
  }
  const result = await session.db.typed(text);
  if (result.columns.length > 0) session.printer.rows(result);
  else session.printer.line(result.command ?? "");
}

/** Where a function or table of the queues was not found the database may have none, or old ones. */
async function withQueues(session: ConsoleSession, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const isMissing = error instanceof SkyqError && /^(42883|42703|42P01|3F000)$/.test(error.sqlstate ?? "");
    if (isMissing && !session.db.isClosed) await requirePgq(session.db, "Cannot run the statement");
    throw error;
  }
}

/** A command of psql: fingers type them. */
function isBackslash(text: string): boolean {
  return /^\s*\\/.test(text);
}

async function runBackslash(session: ConsoleSession, text: string): Promise<void> {
  const word = text.trim();
  const meant = /^\\q(uit)?$/.test(word) ? "exit" : /^\\(\?|h|help)$/.test(word) ? "help" : null;
  if (meant === null) {
    throw new SkyqError("usage", `Cannot run "${word}": backslash commands are those of psql`, {
      hint: "`show help;` lists what there is; \\? and \\q work here as well.",
    });
  }
  for (const statement of splitStatements(`${meant};`).statements) await runStatement(session, statement);
}

export interface InteractiveOptions {
  /** Lines typed are kept here; null: nowhere. */
  readonly historyFile: string | null;
  readonly signal: AbortSignal;
}

/**
 * Talks with a person until the input ends, or `exit;`. An error ends the statement, not the talk; a lost connection is
 * opened anew for the next one. Ctrl-C forgets what is typed, or cancels what runs.
 */
export async function runInteractive(
  session: ConsoleSession,
  { historyFile, signal }: InteractiveOptions,
): Promise<void> {
  const history = readHistory(historyFile);
  let typed = "";
  let isRunning = false;
  const lines = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: true,
    history: history.toReversed(),
    historySize: HISTORY_COUNT,
    completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
      // Names come from the server, which is busy with the statement while one runs.
      if (isRunning) return done(null, [[], ""]);
      completions(session, typed + line).then((found) => done(null, found), () => done(null, [[], ""]));
    },
  });
  let isClosed = false;
  lines.on("close", () => isClosed = true);
  lines.on("SIGINT", () => {
    if (isRunning) return void session.cancel().catch(() => {});
    typed = "";
    lines.write(null, { ctrl: true, name: "u" });
    process.stdout.write("\n");
    ask();
  });
  const ask = () => {
    if (isClosed) return;
    lines.setPrompt(typed.trim() === "" ? `${session.prompt}> ` : `${session.prompt}… `);
    lines.prompt();
  };
  signal.addEventListener("abort", () => lines.close(), { once: true });

  ask();
  for await (const line of lines) {
    if (line.trim() !== "") history.push(line);
    // psql's need no semicolon.
    const ended = typed.trim() === "" && isBackslash(line) && !line.includes(";") ? `${line};` : line;
    const { statements, rest } = splitStatements(`${typed}${ended}\n`);
    typed = lex(rest).tokens.length > 0 || lex(rest).isOpen ? rest : "";
    isRunning = true;
    for (const statement of statements) {
      try {
        if (await session.revive()) session.log.warning("Connected again; what the old connection had is gone");
        await runStatement(session, statement);
      } catch (error) {
        session.log.error(
          error instanceof SkyqError && error.hint ? `${error.message}\nhint: ${error.hint}` : messageOf(error),
        );
        break;
      }
      if (session.isOver) break;
    }
    isRunning = false;
    if (session.isOver) break;
    ask();
  }
  lines.close();
  writeHistory(historyFile, history);
}

/** Lines of the history, oldest first. */
function readHistory(file: string | null): string[] {
  if (file === null) return [];
  try {
    return Deno.readTextFileSync(file).split("\n").filter((line) => line !== "");
  } catch {
    return [];
  }
}

/** A history that cannot be kept is no reason to complain at the end of a talk. */
function writeHistory(file: string | null, lines: readonly string[]): void {
  if (file === null) return;
  const kept = lines.filter((line) => redactSecrets(line) === line).slice(-HISTORY_COUNT);
  try {
    Deno.writeTextFileSync(file, kept.map((line) => `${line}\n`).join(""), { mode: 0o600 });
  } catch {
    // A home that may not be written to.
  }
}
