import { SkyqError } from "../base/errors.ts";
import { type IniFile, interpolate, parseIni } from "./ini.ts";
import {
  type ConfigKind,
  type ConfigValue,
  type Key,
  KEYS,
  type KeySpec,
  READER_KEYS,
  REFUSED,
  REQUIRED,
  SECTIONS,
} from "./keys.ts";
import { didYouMean } from "../base/nearest.ts";

/** Where a value came from; later ones win. */
export type Source = "default" | "file" | "environment" | "--set";

export interface ConfigInput {
  /** Path of the config file, or `null` for none. */
  readonly file: string | null;
  readonly kind: ConfigKind;
  /** `KEY=VALUE` of `--set`, split, keys in lower case. */
  readonly overrides?: ReadonlyMap<string, string>;
  /** The environment; only `SKYQ_<KEY>` is looked at. */
  readonly env?: Readonly<Record<string, string>>;
}

type Value = string | number | boolean | readonly string[] | null;

/** One job's checked configuration. It does not change: a reload makes a new one. */
export class Config {
  constructor(
    /** The path as given, `null` when the command has no config file. */
    readonly file: string | null,
    /** Which section of the file was taken. */
    readonly section: string | null,
    /** What the operator should hear at start: keys that mean nothing, with a guess. */
    readonly warnings: readonly string[],
    readonly kind: ConfigKind,
    private readonly values: ReadonlyMap<string, { value: Value; source: Source }>,
  ) {}

  /** @returns the value of `key`, or its default; `null` only for keys without default */
  get<K extends Key>(key: K): ConfigValue<K> {
    return this.values.get(key)!.value as ConfigValue<K>;
  }

  /**
   * The value of a key that has to be there.
   * @throws {SkyqError} `config` naming the key and the file
   */
  need<K extends Key>(key: K): NonNullable<ConfigValue<K>> {
    const value = this.get(key);
    if (value === null) throw this.#missing([key]);
    return value as NonNullable<ConfigValue<K>>;
  }

  /** Whether `key` was set anywhere, and did not just get its default. */
  isSet(key: Key): boolean {
    return this.source(key) !== "default";
  }

  source(key: Key): Source {
    return this.values.get(key)!.source;
  }

  get jobName(): string {
    return this.get("job_name");
  }

  /**
   * Checks that everything is there that `kind` needs.
   * @throws {SkyqError} `config` naming the missing key
   */
  check(kind: ConfigKind): void {
    // A file of the C ticker may consist of its section name alone: all databases of the local cluster.
    if (kind === "ticker" && this.section === "pgqd") return;
    for (const keys of REQUIRED[kind]) {
      if (keys.every((key) => this.get(key) === null)) throw this.#missing(keys);
    }
  }

  #missing(keys: readonly Key[]): SkyqError {
    const [first, ...others] = keys.map((key) => `"${key}"`);
    const names = others.length === 0 ? first : `${first} (or ${others.join(", ")})`;
    const place = this.file === null ? "the config" : `section [${this.section}] of "${this.file}"`;
    return new SkyqError("config", `Cannot use the config: key ${names} is missing in ${place}`, {
      hint: "The option --ini prints a sample config with every key.",
    });
  }
}

/**
 * Reads a config file, lays environment and `--set` over it, and checks every value.
 * @throws {SkyqError} `config` (file, section, key or value is wrong), `usage` (`--set` of an unknown key)
 */
export function loadConfig(input: ConfigInput): Config {
  const ini = input.file === null ? null : readIni(input.file);
  const section = ini === null ? null : chooseSection(ini, input.file!);
  const raw = new RawValues(ini, section, input);
  const values = new Map<string, { value: Value; source: Source }>();
  for (const [key, spec] of Object.entries<KeySpec>(KEYS)) values.set(key, raw.resolve(key, spec));
  const config = new Config(input.file, section, checkNames(raw, ini, section, input), input.kind, values);
  config.check(input.kind);
  return config;
}

/**
 * The key "pidfile" alone, for stopping a job whose config has become unusable otherwise.
 * @throws {SkyqError} `config` when the file cannot be read
 */
export function readPidfileKey(input: ConfigInput): string | null {
  const ini = input.file === null ? null : readIni(input.file);
  const section = ini === null ? null : chooseSection(ini, input.file!);
  return new RawValues(ini, section, input).resolve("pidfile", KEYS.pidfile).value as string | null;
}

/**
 * Checks the names given to `--set`, for those who read no more of the config than they need.
 * @throws {SkyqError} `usage`
 */
export function requireKnownOverrides({ overrides }: ConfigInput): void {
  const known = knownNames();
  for (const name of overrides?.keys() ?? []) {
    if (!known.has(name) && !(name in REFUSED)) throw unknownOverride(name, didYouMean(name, known));
  }
}

function unknownOverride(name: string, hint: string | undefined): SkyqError {
  return new SkyqError("usage", `Cannot set "${name}": no such config key`, {
    hint: hint ?? "The option --ini prints a sample config with every key.",
  });
}

/** Every name that a config may hold. */
function knownNames(): Set<string> {
  const known = new Set<string>(READER_KEYS);
  for (const [key, spec] of Object.entries<KeySpec>(KEYS)) {
    known.add(key);
    for (const alias of Object.keys(spec.aliases ?? {})) known.add(alias);
  }
  return known;
}

/** The texts behind the keys, by source, before they become values. */
class RawValues {
  readonly #layers: readonly { source: Source; texts: ReadonlyMap<string, string>; literal: boolean }[];
  readonly #sections: IniFile["sections"];
  readonly #format: 1 | 2;
  /** Keys that other values refer to: they have a use even if no command knows them. */
  readonly referenced = new Set<string>();

  constructor(ini: IniFile | null, section: string | null, input: ConfigInput) {
    this.#sections = ini?.sections ?? new Map();
    const env = new Map<string, string>();
    for (const [name, value] of Object.entries(input.env ?? {})) {
      if (name.startsWith("SKYQ_")) env.set(name.slice("SKYQ_".length).toLowerCase(), value);
    }
    // Shell and environment have their own ways to put values together, so theirs are taken literally.
    this.#layers = [
      { source: "--set", texts: input.overrides ?? new Map(), literal: true },
      { source: "environment", texts: env, literal: true },
      { source: "file", texts: this.#sections.get(section ?? "") ?? new Map(), literal: false },
      { source: "file", texts: this.#sections.get("DEFAULT") ?? new Map(), literal: false },
      { source: "default", texts: predefined(input.file, section), literal: true },
    ];
    const format = this.#find("config_format")?.text ?? "1";
    if (format !== "1" && format !== "2") throw badValue("config_format", format, "1 or 2");
    this.#format = format === "1" ? 1 : 2;
  }

  #find(name: string): { text: string; source: Source; literal: boolean } | null {
    for (const { source, texts, literal } of this.#layers) {
      const text = texts.get(name);
      if (text !== undefined) return { text, source, literal };
    }
    return null;
  }

  /** The finished text of one name, references replaced. @param path names on the way here, to find circles */
  #text(name: string, path: readonly string[]): string | null {
    const found = this.#find(name);
    if (found === null) return null;
    return found.literal ? found.text : this.#expand(found.text, [...path, name], this.#format);
  }

  #expand(text: string, path: readonly string[], format: 1 | 2): string {
    return interpolate(text, format, (reference) => {
      const name = path.at(-1)!;
      if (path.includes(reference)) {
        throw new SkyqError("config", `Cannot resolve key "${name}": it refers to itself by way of "${reference}"`);
      }
      this.referenced.add(reference);
      const [section, key] = reference.split(":", 2);
      if (format === 2 && key !== undefined) {
        const other = this.#sections.get(section!)?.get(key);
        return other === undefined ? null : this.#expand(other, [...path, reference], format);
      }
      return this.#text(reference, path) ?? this.#defaultText(reference, path);
    });
  }

  #defaultText(key: string, path: readonly string[]): string | null {
    const spec = (KEYS as Record<string, KeySpec>)[key];
    if (spec === undefined || spec.default === null) return null;
    return this.#expand(String(spec.default), [...path, key], 1);
  }

  resolve(key: string, spec: KeySpec): { value: Value; source: Source } {
    const names = [[key, 1] as const, ...Object.entries(spec.aliases ?? {})];
    for (const { texts, source } of this.#layers) {
      for (const [name, factor] of names) {
        const text = texts.has(name) ? this.#text(name, [])!.trim() : "";
        if (text === "" || (name !== key && text === spec.unset)) continue;
        return { value: parseValue(name, text, spec, factor), source };
      }
    }
    const fallback = spec.default;
    if (typeof fallback !== "string") return { value: fallback, source: "default" };
    if (!fallback.includes("%(")) return { value: fallback, source: "default" };
    // A default made from a key that is not set (a node's name from the queue's) stays empty.
    const text = this.#defaultFrom(key, fallback);
    if (text === null) return { value: null, source: "default" };
    const value = parseValue(key, text, { ...spec, min: undefined }, 1);
    return { value: typeof value === "number" ? Math.max(value, spec.min ?? value) : value, source: "default" };
  }

  #defaultFrom(key: string, template: string): string | null {
    const references = [...template.matchAll(/%\(([^)]*)\)s/g)].map((match) => match[1]!);
    const texts = references.map((name) => {
      const aliases = Object.keys((KEYS as Record<string, KeySpec>)[name]?.aliases ?? {});
      for (const candidate of [name, ...aliases]) {
        const text = this.#text(candidate, [key]);
        if (text !== null && text !== "") return text;
      }
      return this.#defaultText(name, [key]);
    });
    if (texts.includes(null)) return null;
    return interpolate(template, 1, (name) => texts[references.indexOf(name)] ?? null);
  }

  /** Every name that was written somewhere, with where. */
  *written(): Iterable<{ name: string; source: Source }> {
    for (const { source, texts } of this.#layers) {
      if (source !== "default") { for (const name of texts.keys()) yield { name, source }; }
    }
  }

  text(name: string): string | null {
    return this.#text(name, []);
  }
}

function readIni(file: string): IniFile {
  let text: string;
  try {
    text = Deno.readTextFileSync(file);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new SkyqError("config", `Config file not found: ${file}`, {
        hint: "The option --ini prints a sample config to begin with.",
        cause,
      });
    }
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SkyqError("config", `Cannot read config file "${file}": ${reason}`, { cause });
  }
  return parseIni(text, file);
}

function chooseSection(ini: IniFile, file: string): string {
  const found = SECTIONS.find((name) => ini.sections.has(name));
  if (found !== undefined) return found;
  const present = [...ini.sections.keys()];
  const seen = present.length === 0 ? "it has none" : `it has ${present.map((name) => `[${name}]`).join(", ")}`;
  const guess = present.map((name) => didYouMean(name, SECTIONS)).find((hint) => hint !== undefined);
  const known = SECTIONS.map((name) => `[${name}]`).join(", ");
  throw new SkyqError("config", `Cannot use config file "${file}": no section [skyq] in it; ${seen}`, {
    hint: guess ?? `Known sections: ${known}.`,
  });
}

/** Values that a file may refer to without defining them. */
function predefined(file: string | null, section: string | null): Map<string, string> {
  const values = new Map([["service_name", section ?? "skyq"], ["host_name", Deno.hostname()]]);
  if (file === null) return values.set("job_name", "skyq");
  const path = Deno.realPathSync(file);
  const slash = path.lastIndexOf("/");
  // The name as given, not the link's target: one job's file may be a link to another's.
  const name = file.slice(file.lastIndexOf("/") + 1).replace(/\.[^.]*$/, "");
  return values.set("job_name", name).set("config_dir", path.slice(0, slash) || "/").set("config_file", path);
}

/** Looks for keys that mean nothing. @returns warnings; @throws where a typo may not pass */
function checkNames(raw: RawValues, ini: IniFile | null, section: string | null, input: ConfigInput): string[] {
  const known = knownNames();
  const warnings = (ini?.duplicates ?? []).map((name) => `Config key "${name}" stands twice: the last one counts`);
  for (const { name, source } of raw.written()) {
    const refused = REFUSED[name];
    if (refused !== undefined) {
      const text = raw.text(name) ?? "";
      if (refused.harmless.test(text)) continue;
      throw new SkyqError("config", `Cannot use config key "${name}": "${text}" is not supported`, {
        hint: refused.hint,
      });
    }
    if (known.has(name) || raw.referenced.has(name)) continue;
    const hint = didYouMean(name, known);
    if (source === "--set") throw unknownOverride(name, hint);
    if (section === "pgqd" && source === "file") {
      throw new SkyqError("config", `Cannot use config file "${input.file}": unknown key "${name}" in [pgqd]`, {
        hint,
      });
    }
    // The environment holds other things with our prefix too (tests, wrappers): only what looks like a typo is told.
    if (source === "environment" && hint === undefined) continue;
    const place = source === "environment" ? `SKYQ_${name.toUpperCase()} of the environment` : `"${name}"`;
    warnings.push(`Unknown config key ${place} is ignored${hint === undefined ? "" : `. ${hint}`}`);
  }
  return warnings;
}

const UNITS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, sec: 1, min: 60, h: 3600, d: 86_400 };

function parseValue(name: string, text: string, spec: KeySpec, factor: number): Value {
  switch (spec.kind) {
    case "string":
      if (spec.choices && !spec.choices.includes(text)) throw badValue(name, text, oneOf(spec.choices));
      return text;
    case "dsn":
      return text;
    case "file":
      return expandHome(text);
    case "list":
      return text.split(",").map((item) => item.trim()).filter((item) => item !== "");
    case "bool":
      if (/^(1|yes|true|on)$/i.test(text)) return true;
      if (/^(0|no|false|off)$/i.test(text)) return false;
      throw badValue(name, text, "1 or 0, yes or no, true or false, on or off");
    case "int":
      if (!/^[+-]?\d{1,15}$/.test(text)) throw badValue(name, text, "a whole number");
      return atLeast(name, text, Number(text) * factor, spec);
    case "float":
      if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(text)) throw badValue(name, text, "a number");
      return atLeast(name, text, Number(text) * factor, spec);
    case "duration": {
      const match = /^([+-]?(?:\d+\.?\d*|\.\d+))\s*(ms|s|sec|min|h|d)?$/.exec(text);
      if (!match) throw badValue(name, text, 'a time in seconds, or with its unit: "500ms", "5min", "2h"');
      const unit = match[2];
      return atLeast(name, text, Number(match[1]) * (unit === undefined ? factor : UNITS[unit]!), spec);
    }
  }
}

function atLeast(name: string, text: string, value: number, spec: KeySpec): number {
  if (spec.min !== undefined && value < spec.min) throw badValue(name, text, `at least ${spec.min}`);
  return value;
}

function oneOf(choices: readonly string[]): string {
  return choices.map((choice) => `"${choice}"`).join(" or ");
}

function badValue(key: string, text: string, expected: string): SkyqError {
  return new SkyqError("config", `Cannot use config key "${key}": value "${text}" is not ${expected}`);
}

/** `~` and `~/x` become the home directory; `-` and all else stay. */
function expandHome(path: string): string {
  if (path !== "~" && !path.startsWith("~/")) return path;
  return (Deno.env.get("HOME") ?? "~") + path.slice(1);
}
