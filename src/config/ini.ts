import { SkyqError } from "../base/errors.ts";

/** The sections of a config file, their keys in lower case, values as written (not yet interpolated). */
export interface IniFile {
  readonly sections: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Keys that stand twice in one section, as `section/key`; the last one counts. */
  readonly duplicates: readonly string[];
}

/**
 * Parses the INI dialect of the original tools. npm's `ini` is not used: it cuts values at `;` and `#`, strips quotes and
 * reads `a[b]` and `a.b` as structure, all of which a connect string or a password may contain.
 *
 * `[section]`, `key = value` or `key: value`, whole lines of comment behind `#` or `;`, a line indented deeper than its
 * key continues the value (joined by a line feed). Nothing inside a value is special.
 *
 * @param fileName for messages, which never quote the line: it may hold a password
 * @throws {SkyqError} `config` naming the line
 */
export function parseIni(text: string, fileName: string): IniFile {
  const sections = new Map<string, Map<string, string>>();
  const duplicates: string[] = [];
  let section: Map<string, string> | null = null;
  let sectionName = "";
  let key: string | null = null;
  let keyIndent = 0;

  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/);
  lines.forEach((line, index) => {
    const content = line.trim();
    if (content === "" || content.startsWith("#") || content.startsWith(";")) return;
    const bad = (what: string, hint: string) =>
      new SkyqError("config", `Cannot read config file "${fileName}": line ${index + 1} ${what}`, { hint });

    const indent = line.length - line.trimStart().length;
    if (section !== null && key !== null && indent > keyIndent) {
      section.set(key, `${section.get(key)}\n${content}`.trim());
      return;
    }
    const header = /^\[([^\]]+)\]$/.exec(content);
    if (header) {
      sectionName = header[1]!.trim();
      section = sections.get(sectionName) ?? new Map();
      sections.set(sectionName, section);
      key = null;
      return;
    }
    const assignment = /^([^=:]+?)\s*[=:]\s*(.*)$/.exec(content);
    if (!assignment) throw bad('is neither "[section]" nor "key = value"', "A continued value must be indented.");
    if (section === null) throw bad("stands before the first section", 'Begin the file with "[skyq]".');
    key = assignment[1]!.toLowerCase();
    keyIndent = indent;
    if (section.has(key)) duplicates.push(`${sectionName}/${key}`);
    section.set(key, assignment[2]!);
  });
  return { sections, duplicates };
}

/**
 * Replaces references to other values. Format 1: `%(key)s`, `%%` is a percent sign. Format 2: `${key}` and
 * `${section:key}`, `$$` is a dollar sign. A lone `%` or `$` stands for itself, so that `p%40ss` in a URI needs no care.
 * @param lookup gives the finished value of a reference, or `null` when there is none
 * @throws {SkyqError} `config` naming the unknown reference
 */
export function interpolate(text: string, format: 1 | 2, lookup: (reference: string) => string | null): string {
  const pattern = format === 1 ? /%%|%\(([^)]*)\)s/g : /\$\$|\$\{([^}]*)\}/g;
  return text.replace(pattern, (whole: string, reference: string | undefined) => {
    if (reference === undefined) return whole[0]!;
    const value = lookup(reference.trim().toLowerCase());
    if (value !== null) return value;
    const percent = format === 1 ? "%%" : "$$";
    throw new SkyqError("config", `Cannot resolve "${whole}": no such key in the config`, {
      hint: `Define the key, or write "${percent}" for a plain "${percent[0]}".`,
    });
  });
}
