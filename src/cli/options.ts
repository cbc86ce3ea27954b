import { SkyqError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import type { Command, OptionSpec, OptionSpecs } from "./command.ts";

/** Options that every command takes. */
export const COMMON_OPTIONS = {
  help: { kind: "flag", alias: "h", help: "explain the command" },
  version: { kind: "flag", alias: "V", help: "print the version" },
  quiet: { kind: "flag", alias: "q", help: "log warnings and errors only" },
  verbose: { kind: "flag", alias: "v", help: "log more; twice: the statements of commands too" },
  set: { kind: "list", commas: false, value: "KEY=VALUE", help: "override one config value; may be repeated" },
} as const satisfies OptionSpecs;

/** What commands with a config file take besides. */
export const CONFIG_OPTIONS = {
  ini: { kind: "flag", help: "print a commented sample config" },
} as const satisfies OptionSpecs;

/** What daemons take besides. */
export const DAEMON_OPTIONS = {
  daemon: { kind: "flag", alias: "d", help: "go to the background, return when the job is ready" },
  reload: { kind: "flag", alias: "r", help: "let the running job read its config again (SIGHUP)" },
  stop: { kind: "flag", alias: "s", help: "let the running job finish its batch and leave (SIGINT)" },
  kill: { kind: "flag", alias: "k", help: "let the running job leave at once (SIGTERM)" },
  wait: { kind: "flag", help: "with -s or -k: return when the job is gone" },
  timeout: { kind: "number", value: "SECONDS", min: 0, help: "limit for -d and --wait (60)" },
  strict: { kind: "flag", help: "with -r, -s, -k: exit 1 when no job runs" },
} as const satisfies OptionSpecs;

/** All options of `command`, its own first; `null` when no command is known yet. */
export function optionsOf(command: Command | null): OptionSpecs {
  return {
    ...command?.options,
    ...(command?.daemon ? DAEMON_OPTIONS : {}),
    ...(command?.config === "none" ? {} : CONFIG_OPTIONS),
    ...COMMON_OPTIONS,
  };
}

export interface ReadOptions {
  /** By property name; flags as count, so that `-vv` is 2. Absent ones are absent. */
  readonly values: ReadonlyMap<string, number | string | readonly string[]>;
  readonly words: readonly string[];
}

/** `expectSync` → `expect-sync` */
export function longName(property: string): string {
  return property.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/**
 * Takes the options out of a command line; they may stand anywhere before `--`. Not node:util's parseArgs: it knows no
 * unique prefixes, and its messages name neither the nearest option nor what a value should be.
 * @throws {SkyqError} `usage`
 */
export function readOptions(argv: readonly string[], specs: OptionSpecs): ReadOptions {
  const names = new Map<string, string>();
  const letters = new Map<string, string>();
  for (const [property, spec] of Object.entries(specs)) {
    for (const name of [longName(property), ...spec.aliases ?? []]) names.set(name, property);
    if (spec.alias !== undefined && !letters.has(spec.alias)) letters.set(spec.alias, property);
  }
  const values = new Map<string, number | string | string[]>();
  const words: string[] = [];

  /** @param next takes the following word when the value was not attached */
  const take = (shown: string, property: string, attached: string | null, next: () => string | undefined) => {
    const spec = specs[property]!;
    if (spec.kind === "flag") {
      if (attached !== null) throw usage(`Cannot read option "${shown}": it takes no value`);
      values.set(property, Number(values.get(property) ?? 0) + 1);
      return;
    }
    const text = attached ?? next();
    if (text === undefined) {
      throw usage(`Cannot read option "${shown}": its value is missing`, `Write ${shown} ${valueName(spec)}.`);
    }
    if (spec.kind === "number") values.set(property, readNumber(shown, text, spec.min));
    else if (spec.kind === "string") values.set(property, checkChoice(`option "${shown}"`, text, spec.choices));
    else (values.get(property) as string[] | undefined)?.push(text) ?? values.set(property, [text]);
  };

  for (let index = 0; index < argv.length; index++) {
    const word = argv[index]!;
    const next = () => argv[++index];
    if (word === "--") {
      words.push(...argv.slice(index + 1));
      break;
    }
    if (word.startsWith("--")) {
      const equals = word.indexOf("=");
      const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
      take(`--${name}`, resolveName(name, names), equals < 0 ? null : word.slice(equals + 1), next);
    } else if (word.startsWith("-") && word !== "-") {
      for (let at = 1; at < word.length; at++) {
        const property = letters.get(word[at]!);
        if (property === undefined) throw unknown(`-${word[at]}`, undefined);
        const isFlag = specs[property]!.kind === "flag";
        const rest = word.slice(at + 1);
        take(`-${word[at]}`, property, isFlag || rest === "" ? null : rest, next);
        if (!isFlag) break;
      }
    } else {
      words.push(word);
    }
  }
  return { values, words };
}

function resolveName(name: string, names: ReadonlyMap<string, string>): string {
  const exact = names.get(name);
  if (exact !== undefined) return exact;
  const matching = name === "" ? [] : [...names].filter(([known]) => known.startsWith(name));
  const properties = new Set(matching.map(([, property]) => property));
  if (properties.size === 1) return matching[0]![1];
  if (properties.size === 0) {
    throw unknown(
      `--${name}`,
      didYouMean(`--${name}`, [...names.keys()].map((n) => `--${n}`)),
    );
  }
  const list = matching.map(([known]) => `--${known}`).join(", ");
  throw usage(`Cannot read option "--${name}": it may mean ${list}`, "Write more of it.");
}

function unknown(shown: string, hint: string | undefined): SkyqError {
  return usage(`Unknown option "${shown}"`, hint);
}

function usage(message: string, hint?: string): SkyqError {
  return new SkyqError("usage", message, { hint });
}

function readNumber(shown: string, text: string, min = -Infinity): number {
  const number = /^-?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : NaN;
  if (Number.isNaN(number)) throw usage(`Cannot read option "${shown}": "${text}" is not a number`);
  if (number < min) throw usage(`Cannot read option "${shown}": ${text} is less than ${min}`);
  return number;
}

/** @returns `text` when it is allowed; @throws {SkyqError} `usage` naming the choices */
export function checkChoice(what: string, text: string, choices: readonly string[] | undefined): string {
  if (choices === undefined || choices.includes(text)) return text;
  const list = choices.map((choice) => `"${choice}"`).join(", ");
  throw usage(`Cannot read ${what}: "${text}" is none of ${list}`, didYouMean(text, choices));
}

/** What the help calls an option's value. */
export function valueName(spec: OptionSpec): string {
  if (spec.value !== undefined) return spec.value;
  if (spec.kind === "list") return spec.commas === false ? "TEXT" : "A,B";
  return spec.kind === "number" ? "N" : "TEXT";
}

/** Fills in defaults: the object that a command's `run` gets. */
export function optionValues(specs: OptionSpecs, read: ReadOptions["values"]): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const [property, spec] of Object.entries(specs)) {
    const value = read.get(property);
    if (spec.kind === "flag") options[property] = value !== undefined;
    else if (spec.kind === "list") options[property] = listOf(spec.commas, value as readonly string[] | undefined);
    else options[property] = value ?? spec.default ?? null;
  }
  return options;
}

function listOf(commas: false | undefined, texts: readonly string[] = []): readonly string[] {
  if (commas === false) return texts;
  return texts.flatMap((text) => text.split(",")).map((item) => item.trim()).filter((item) => item !== "");
}
