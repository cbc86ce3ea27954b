import type { Logger } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import type { ConfigKind } from "../config/keys.ts";
import type { Output } from "./output.ts";

/** One option of a command. The property's name in camelCase is the option's: `expectSync` is `--expect-sync`. */
export type OptionSpec =
  & {
    readonly help: string;
    /** One letter: `-n`. */
    readonly alias?: string;
    /** Other spellings of the long name, without dashes. */
    readonly aliases?: readonly string[];
    /** What the help calls the value: `NAME`. */
    readonly value?: string;
  }
  & (
    | { readonly kind: "flag" }
    | { readonly kind: "string"; readonly default?: string; readonly choices?: readonly string[] }
    | { readonly kind: "number"; readonly default?: number; readonly min?: number }
    /** May be given several times, or with commas; with `commas: false` a comma belongs to the value. */
    | { readonly kind: "list"; readonly commas?: false }
  );

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

type OptionValue<S extends OptionSpec> = S["kind"] extends "flag" ? boolean
  : S["kind"] extends "list" ? readonly string[]
  : (S["kind"] extends "number" ? number : string) | (S extends { readonly default: unknown } ? never : null);

/** What `run` gets: flags as boolean, lists as array, string and number as `null` when absent and without default. */
export type OptionValues<S extends OptionSpecs> = { readonly [K in keyof S]: OptionValue<S[K]> };

/** One positional argument behind CONFIG. */
export interface ArgSpec {
  /** As the help shows it: `TABLE`. */
  readonly name: string;
  readonly help: string;
  /** Takes all that follow; only the last one may. */
  readonly many?: boolean;
  readonly required?: boolean;
  readonly choices?: readonly string[];
}

export interface CommandSpec<S extends OptionSpecs> {
  /** One word or two: `replay`, `provider add`. */
  readonly name: string;
  /** One line for the list of commands: begins with a verb, no period. */
  readonly summary: string;
  /** Paragraphs for the command's own help. */
  readonly details?: string;
  /** Whole command lines. */
  readonly examples: readonly string[];
  /** Which keys the config file has to have; `none`: the command takes no file. */
  readonly config: ConfigKind;
  /** An option that takes the config's place: with it the first word is an argument already. */
  readonly configUnless?: string;
  readonly args?: ArgSpec | readonly ArgSpec[];
  readonly options?: S;
  /** Runs until it is stopped: takes -d -r -s -k, holds the pidfile, reloads on SIGHUP. */
  readonly daemon?: boolean;
  /** Holds `PIDFILE.suffix` while it runs, so that two of its kind do not meet; for commands that are no daemon. */
  readonly pidfileSuffix?: string;
  /** @returns the exit status, nothing for 0 */
  run(ctx: CommandContext, options: OptionValues<S>, args: readonly string[]): Promise<number | void>;
}

/** A command as the frame sees it, its options' types forgotten. */
export type Command = Omit<CommandSpec<OptionSpecs>, "options" | "args" | "run"> & {
  readonly options: OptionSpecs;
  readonly args: readonly ArgSpec[];
  // deno-lint-ignore no-explicit-any
  run(ctx: CommandContext, options: any, args: readonly string[]): Promise<number | void>;
};

/** What a command is lent while it runs. */
export interface CommandContext {
  /** The checked config; after a reload the new one. */
  readonly config: Config;
  readonly log: Logger;
  /** stdout: data only. Talk goes to `log`. */
  readonly out: Output;
  /**
   * Aborted by SIGINT: finish the current step, then return. A one-shot command that leaves work undone throws the
   * fault `stopped` instead (or calls `throwIfAborted()`), which gives status 130.
   */
  readonly signal: AbortSignal;
  /** 0, or how many -v were given: 1 = debug, 2 = the statements of commands too. */
  readonly verbosity: number;
  readonly commandName: string;
  /** Calls `listener` with the new config after each SIGHUP. Daemons only: others die of SIGHUP, as usual. */
  onReload(listener: (config: Config) => void): void;
  /**
   * Calls `listener` when the process leaves at once (SIGTERM, two SIGINTs): for what must not be left behind. It may
   * not wait for anything.
   */
  onLeave(listener: () => void): void;
  /**
   * Daemons call it once everything is connected: the waiting parent of `-d` then ends with status 0.
   * @param warning what the parent says then
   */
  ready(warning?: string): Promise<void>;
}

/** A line of the table of contents; the command itself is loaded when it is called or explained. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Heading in `skyq --help`. */
  readonly group: string;
  load(): Promise<Command>;
}

/** Checks the types of a command's `run` against its options, and fills in what was left out. */
export function defineCommand<const S extends OptionSpecs = Record<never, never>>(spec: CommandSpec<S>): Command {
  const args = spec.args === undefined ? [] : Array.isArray(spec.args) ? spec.args : [spec.args];
  return { ...spec, options: spec.options ?? {}, args };
}
