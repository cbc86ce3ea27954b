import { SkyqError } from "../base/errors.ts";
import { didYouMean, nearest } from "../base/nearest.ts";
import type { ArgSpec, Command, CommandEntry } from "./command.ts";
import { checkChoice, COMMON_OPTIONS, CONFIG_OPTIONS, optionsOf, type ReadOptions, readOptions } from "./options.ts";

/** What a command line asks for. */
export type Request =
  | { readonly kind: "version" }
  | { readonly kind: "shortHelp" }
  /** `topic`: a command, a group of commands, or `null` for all. */
  | { readonly kind: "help"; readonly topic: string | null }
  | {
    readonly kind: "run";
    readonly command: Command;
    readonly config: string | null;
    readonly args: readonly string[];
    readonly options: ReadOptions["values"];
  };

/** The commands of pgqadm by our names; `ticker` is called the same. */
const PGQADM_COMMANDS: Readonly<Record<string, string>> = {
  install: "queue install",
  status: "queue status",
  create: "queue create",
  drop: "queue drop",
  config: "queue config",
  register: "consumer register",
  unregister: "consumer unregister",
};

const UPGRADES = 'A pair of Londiste is taken over by "skyq upgrade CONFIG"; "skyq queue upgrade CONFIG" brings the ' +
  "schemas of one database up to date, those of PgQ 2.1 too.";
/** Programs and scripts of the originals whose work is done by a command with another name. */
const SUPERSEDED: Readonly<Record<string, string>> = { "upgrade-2.1": UPGRADES, "skytools_upgrade": UPGRADES };

/**
 * What a line means by the name under which the program was called: `londiste.py` and `pgqadm` put the config first,
 * `pgqd` and `qadmin` have one command only and do not name it.
 * @param program the first word of the process's command line
 */
export function asCalled(program: string, argv: readonly string[]): { argv: readonly string[]; configFirst: boolean } {
  const name = program.slice(program.lastIndexOf("/") + 1).replace(/\.py$/, "");
  if (name === "pgqd" && argv.length > 0) return { argv: ["ticker", ...argv], configFirst: false };
  if (name === "qadmin") return { argv: ["console", ...argv], configFirst: false };
  if (name === "pgqadm") return { argv: withOurName(argv), configFirst: true };
  return { argv, configFirst: name === "londiste" };
}

/** The first word behind the config that is a command of pgqadm, by our name. */
function withOurName(argv: readonly string[]): readonly string[] {
  const config = wordsOf(argv)[0];
  const command = wordsOf(argv).find(({ text, index }) => index > (config?.index ?? 0) && text in PGQADM_COMMANDS);
  return command === undefined
    ? argv
    : [...argv.slice(0, command.index), ...PGQADM_COMMANDS[command.text]!.split(" "), ...argv.slice(command.index + 1)];
}

/**
 * Reads `COMMAND [SUBCOMMAND] CONFIG [ARGS…]` or `CONFIG COMMAND [SUBCOMMAND] [ARGS…]`, options anywhere.
 * @param configFirst which order wins where both would do; otherwise a config with a command's name is `./name`
 * @throws {SkyqError} `usage`
 */
export async function parseCommandLine(
  argv: readonly string[],
  commands: readonly CommandEntry[],
  { configFirst = false }: { configFirst?: boolean } = {},
): Promise<Request> {
  if (argv.length === 0) return { kind: "shortHelp" };
  const words = wordsOf(argv);
  const superseded = SUPERSEDED[words[0]?.text ?? ""];
  if (superseded !== undefined) throw usage(`Unknown command '${words[0]!.text}', use --help for help`, superseded);
  if (words[0]?.text === "help") return { kind: "help", topic: helpTopic(words.slice(1), commands) };

  // Which words are values of options depends on the command, which is itself one of the words. So every word that
  // names a command is tried, and has to fit the line once its options are known.
  let firstError: unknown = null;
  for (const candidate of candidates(words, commands, configFirst)) {
    const command = await candidate.entry.load();
    try {
      const request = fit(command, readOptions(argv, optionsOf(command)), configFirst);
      if (request !== null) return request;
    } catch (error) {
      firstError ??= withUsage(error, command);
      if (!candidate.mayBeValue) break;
    }
  }
  if (firstError !== null) throw firstError;
  return withoutCommand(argv, words, commands);
}

/** A wrong option says how the command is meant to be called. */
function withUsage(error: unknown, command: Command): unknown {
  if (!(error instanceof SkyqError) || error.hint?.includes("Usage:")) return error;
  const hint = [error.hint, `Usage: ${usageLine(command)}`].filter((part) => part !== undefined).join("\n      ");
  return new SkyqError("usage", error.message, { hint });
}

interface Word {
  readonly text: string;
  readonly index: number;
}

/** Everything before `--` that does not look like an option. */
function wordsOf(argv: readonly string[]): Word[] {
  const end = argv.indexOf("--");
  return argv.slice(0, end < 0 ? undefined : end)
    .map((text, index) => ({ text, index }))
    .filter(({ text }) => !text.startsWith("-") || text === "-");
}

interface Candidate {
  readonly entry: CommandEntry;
  /** An option stands before it, so the word may be that option's value. */
  readonly mayBeValue: boolean;
}

function candidates(words: readonly Word[], commands: readonly CommandEntry[], configFirst: boolean): Candidate[] {
  const found = words.flatMap(({ text, index }, position) => {
    const pair = `${text} ${words[position + 1]?.text}`;
    const entry = commands.find(({ name }) => name === pair) ?? commands.find(({ name }) => name === text);
    return entry === undefined ? [] : [{ entry, mayBeValue: index > position, position }];
  });
  return configFirst ? [...found.filter((c) => c.position > 0), ...found.filter((c) => c.position === 0)] : found;
}

/** @returns `null` when the words do not stand where the command wants them */
function fit(command: Command, { values, words }: ReadOptions, configFirst: boolean): Request | null {
  const name = command.name.split(" ");
  const standsAt = (start: number) => name.every((word, index) => words[start + index] === word);
  let rest: readonly string[];
  let config: string | null = null;
  if (standsAt(0) && !(configFirst && standsAt(1))) {
    rest = words.slice(name.length);
    if (takesConfig(command, values)) [config = null, ...rest] = rest;
  } else if (standsAt(1)) {
    config = words[0]!;
    rest = words.slice(1 + name.length);
  } else {
    return null;
  }
  if (values.has("version")) return { kind: "version" };
  if (values.has("help")) return { kind: "help", topic: command.name };
  const isComplete = !values.has("ini") && !["reload", "stop", "kill"].some((option) => values.has(option));
  if (config === null && takesConfig(command, values) && !values.has("ini")) {
    throw usage("need config file, use --help for help", `Usage: ${usageLine(command)}`);
  }
  if (isComplete) checkArgs(command, rest);
  return { kind: "run", command, config, args: rest, options: values };
}

function takesConfig({ config, configUnless }: Command, values: ReadOptions["values"]): boolean {
  return config !== "none" && (configUnless === undefined || !values.has(configUnless));
}

function checkArgs(command: Command, args: readonly string[]): void {
  const wrong = (message: string) => usage(message, `Usage: ${usageLine(command)}`);
  command.args.forEach((spec, index) => {
    const given = spec.many ? args.slice(index) : args.slice(index, index + 1);
    if (spec.required && given.length === 0) throw wrong(`Cannot run "${command.name}": ${spec.name} is missing`);
    for (const text of given) checkChoice(spec.name, text, spec.choices);
  });
  const takesMany = command.args.at(-1)?.many ?? false;
  if (!takesMany && args.length > command.args.length) {
    throw wrong(`Cannot run "${command.name}": one word too many, "${args[command.args.length]}"`);
  }
}

/** `skyq provider add CONFIG TABLE… [OPTIONS]` */
export function usageLine(command: Command): string {
  const config = command.config === "none" ? [] : ["CONFIG"];
  return ["skyq", command.name, ...config, ...command.args.map(argUsage), "[OPTIONS]"].join(" ");
}

function argUsage({ name, many, required }: ArgSpec): string {
  const text = name + (many ? "…" : "");
  return required ? text : `[${text}]`;
}

/** The first words of two-word commands: `provider`, `subscriber`, … */
export function groupsOf(commands: readonly CommandEntry[]): string[] {
  return [...new Set(commands.flatMap(({ name }) => name.includes(" ") ? [name.split(" ")[0]!] : []))];
}

function subcommandsOf(group: string, commands: readonly CommandEntry[]): string[] {
  return commands.flatMap(({ name }) => name.startsWith(`${group} `) ? [name.slice(group.length + 1)] : []);
}

function helpTopic(words: readonly Word[], commands: readonly CommandEntry[]): string | null {
  if (words.length === 0) return null;
  const texts = words.map(({ text }) => text);
  for (const topic of [texts.slice(0, 2).join(" "), texts[0]!]) {
    if (commands.some(({ name }) => name === topic) || groupsOf(commands).includes(topic)) return topic;
  }
  throw unknownCommand(texts.join(" "), commands);
}

function usage(message: string, hint?: string): SkyqError {
  return new SkyqError("usage", message, { hint });
}

function unknownCommand(text: string, commands: readonly CommandEntry[]): SkyqError {
  const known = [...commands.map(({ name }) => name), ...groupsOf(commands), "help", "--version"];
  return usage(`Unknown command '${text}', use --help for help`, didYouMean(text, known, mentioning(text, known)));
}

/** How many names a hint lists. */
const NAMES_SHOWN_MAX = 4;

/** The names one word of which is meant: the same, one that begins so, or one that is near, in this order. */
function mentioning(text: string, known: readonly string[]): string | undefined {
  const wordsIn = (name: string) => name.replace(/^--/, "").split(" ");
  const tests = [
    (word: string) => word === text,
    (word: string) => text.length > 1 && word.startsWith(text),
    (word: string) => nearest(text, [word]) !== null,
  ];
  const found = tests.map((test) => known.filter((name) => wordsIn(name).some(test))).find(({ length }) => length > 0);
  if (found === undefined) return undefined;
  return `Did you mean ${found.slice(0, NAMES_SHOWN_MAX).map((name) => `"${name}"`).join(" or ")}?`;
}

/** No word of the line is a command: `--help` and `--version` need none, everything else is an error. */
function withoutCommand(argv: readonly string[], words: readonly Word[], commands: readonly CommandEntry[]): Request {
  const groups = groupsOf(commands);
  const group = words.slice(0, 2).find(({ text }) => groups.includes(text));
  const helpOptions = argv.slice(0, argv.includes("--") ? argv.indexOf("--") : undefined);
  if (helpOptions.some((word) => word === "-h" || isPrefix(word, "--help"))) {
    return { kind: "help", topic: group?.text ?? null };
  }
  if (helpOptions.some((word) => word === "-V" || isPrefix(word, "--version"))) return { kind: "version" };

  if (group !== undefined) {
    const list = subcommandsOf(group.text, commands);
    const next = words[words.indexOf(group) + 1]?.text;
    const all = `Known: ${list.join(", ")}.`;
    if (next === undefined || looksLikeFile(next)) throw usage("need subcommand", all);
    throw usage("bad subcommand", didYouMean(next, list) ?? all);
  }
  const [first, second] = words.map(({ text }) => text);
  if (first === undefined) {
    readOptions(argv, { ...COMMON_OPTIONS, ...CONFIG_OPTIONS });
    throw usage("need command, use --help for help");
  }
  if (!looksLikeFile(first)) throw unknownCommand(first, commands);
  if (second === undefined) throw usage("need command, use --help for help");
  throw unknownCommand(second, commands);
}

/** `--he` for `--help`; `--` alone and `--v` (which may be verbose) are not. */
function isPrefix(word: string, option: string): boolean {
  return word.length > 4 && option.startsWith(word) || word === "--h";
}

function looksLikeFile(word: string): boolean {
  if (/[./]/.test(word)) return true;
  try {
    return Deno.statSync(word).isFile;
  } catch {
    return false;
  }
}
