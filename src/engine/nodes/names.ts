import { makeFullName, splitName } from "../../db/quote.ts";

/**
 * Finds the names that an argument as typed stands for. A name that exists is that name, whatever characters it holds;
 * otherwise `*` and `?` are wildcards, applied to the schema and the name part separately; without a dot the schema is
 * `public`. `"Quoted"."Names"` are understood.
 * @returns matching candidates in their order, empty when nothing matches
 * @example matchNames("ord*", ["public.orders", "app.orders"]) // ["public.orders"]
 */
export function matchNames(typed: string, candidates: readonly string[]): string[] {
  const exact = exactName(typed, candidates);
  if (exact !== null) return [exact];
  const full = makeFullName(unquote(typed));
  if (!/[*?]/.test(full)) return [];
  const pattern = splitName(full);
  const schema = globToRegExp(pattern.schema);
  const name = globToRegExp(pattern.name);
  return candidates.filter((candidate) => {
    const parts = splitName(candidate);
    return schema.test(parts.schema) && name.test(parts.name);
  });
}

/** Whether an argument is the name of one of the candidates, and no glob. */
export function isExactName(typed: string, candidates: readonly string[]): boolean {
  return exactName(typed, candidates) !== null;
}

/** As it stands, else without the quotes of SQL. */
function exactName(typed: string, candidates: readonly string[]): string | null {
  return [typed, unquote(typed)].map(makeFullName).find((name) => candidates.includes(name)) ?? null;
}

function globToRegExp(glob: string): RegExp {
  const source = glob.replace(/[.*+?^${}()|[\]\\]/g, (char) => char === "*" ? ".*" : char === "?" ? "." : `\\${char}`);
  return new RegExp(`^${source}$`, "su");
}

/** `"My Schema"."a.b"` → `My Schema.a.b`, and either part quoted alone; all else stays as typed. */
function unquote(typed: string): string {
  const quoted = `"((?:[^"]|"")+)"`;
  const plain = (text: string) => text.replaceAll('""', '"');
  const onlySchema = new RegExp(`^${quoted}\\.([^"]+)$`, "s").exec(typed);
  if (onlySchema !== null) return `${plain(onlySchema[1]!)}.${onlySchema[2]}`;
  const match = new RegExp(`^(?:(?:${quoted}|([^".]+))\\.)?${quoted}$`, "s").exec(typed);
  if (match === null) return typed;
  const schema = match[1] !== undefined ? plain(match[1]) : match[2];
  return `${schema ?? "public"}.${plain(match[3]!)}`;
}
