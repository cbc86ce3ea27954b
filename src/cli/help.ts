import denoJson from "../../deno.json" with { type: "json" };
import { type Command, type CommandEntry, type OptionSpec, type OptionSpecs } from "./command.ts";
import { COMMON_OPTIONS, CONFIG_OPTIONS, DAEMON_OPTIONS, longName, valueName } from "./options.ts";
import { usageLine } from "./parse.ts";

export const VERSION: string = denoJson.version;

const WIDTH = 100;

const TITLE = "replicates PostgreSQL tables through a queue kept in the database";
const USAGE = [
  "Usage: skyq COMMAND [SUBCOMMAND] CONFIG [ARGS…] [OPTIONS]",
  "       skyq CONFIG COMMAND [SUBCOMMAND] [ARGS…] [OPTIONS]",
].join("\n");

/** What `skyq` alone prints. */
export function shortHelp(): string {
  return `skyq ${VERSION}: ${TITLE}\n\n${USAGE}\n\n"skyq --help" lists the commands.\n`;
}

/** The list of all commands by group, or of those that begin with the word `only`. */
export function commandList(commands: readonly CommandEntry[], only: string | null = null): string {
  const shown = only === null ? commands : commands.filter(({ name }) => name.startsWith(`${only} `));
  const groups = new Map<string, [string, string][]>();
  for (const { name, summary, group } of shown) {
    groups.set(group, [...groups.get(group) ?? [], [name, summary]]);
  }
  const width = Math.max(...shown.map(({ name }) => name.length));
  const blocks = [...groups].map(([group, rows]) => `${group}\n${columns(rows, width)}`);
  const head = only === null ? `skyq ${VERSION}: ${TITLE}\n\n${USAGE}\n\n` : "";
  const options = optionList({ ...COMMON_OPTIONS, ...CONFIG_OPTIONS });
  const tail = '"skyq help COMMAND" explains one command. Options may stand anywhere; their names may be cut short.\n';
  return `${head}${blocks.join("\n")}\nOptions of every command\n${options}\n${tail}`;
}

/** Everything about one command. */
export function commandHelp(command: Command): string {
  const parts = [`${command.summary}.\n`, `Usage: ${usageLine(command)}\n`];
  if (command.details) parts.push(command.details.split("\n\n").map((text) => wrap(text, 0)).join("\n"));
  if (command.args.length > 0) {
    const width = Math.max(...command.args.map(({ name }) => name.length));
    const rows = command.args.map(({ name, help, choices }): [string, string] => [name, help + choiceList(choices)]);
    parts.push(`Arguments\n${columns(rows, width)}`);
  }
  if (Object.keys(command.options).length > 0) parts.push(`Options\n${optionList(command.options)}`);
  if (command.daemon) parts.push(`Options of daemons\n${optionList(DAEMON_OPTIONS)}`);
  const common = command.config === "none" ? COMMON_OPTIONS : { ...COMMON_OPTIONS, ...CONFIG_OPTIONS };
  const letters = new Set(Object.values(command.options).map(({ alias }) => alias));
  parts.push(`Options of every command\n${optionList(common, letters)}`);
  parts.push(`Examples\n${command.examples.map((line) => `  ${line}\n`).join("")}`);
  return parts.join("\n");
}

/** @param taken letters that mean something else here */
function optionList(options: OptionSpecs, taken: ReadonlySet<string | undefined> = new Set()): string {
  const rows = Object.entries(options).map(([property, spec]): [string, string] => {
    const names = [longName(property), ...spec.aliases ?? []].map((name) => `--${name}`);
    const value = spec.kind === "flag" ? "" : ` ${valueName(spec)}`;
    const letter = spec.alias === undefined || taken.has(spec.alias) ? "    " : `-${spec.alias}, `;
    return [`${letter}${names.join(", ")}${value}`, spec.help + defaultNote(spec)];
  });
  return columns(rows, Math.min(34, Math.max(...rows.map(([name]) => name.length))));
}

function defaultNote(spec: OptionSpec): string {
  if (spec.kind === "string") {
    return choiceList(spec.choices) + (spec.default === undefined ? "" : ` (default: ${spec.default})`);
  }
  return spec.kind === "number" && spec.default !== undefined ? ` (default: ${spec.default})` : "";
}

function choiceList(choices: readonly string[] | undefined): string {
  return choices === undefined ? "" : `: ${choices.join(", ")}`;
}

function columns(rows: readonly [string, string][], width: number): string {
  return rows.map(([name, text]) => {
    const body = wrap(text, width + 4);
    return name.length > width ? `  ${name}\n${body}` : `  ${name.padEnd(width)}  ${body.trimStart()}`;
  }).join("");
}

/** Breaks `text` at blanks into lines of `WIDTH`, each indented by `indent`. */
function wrap(text: string, indent: number): string {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1);
    if (line !== undefined && indent + line.length + 1 + word.length <= WIDTH) {
      lines[lines.length - 1] = `${line} ${word}`;
    } else lines.push(word);
  }
  return lines.map((line) => " ".repeat(indent) + line + "\n").join("");
}
