import { makeFullName, splitName } from "../../db/quote.ts";

/**
 * Finds the names that an argument as typed stands for. A name that exists is that name, whatever characters it holds;
 * otherwise `*` and `?` are wildcards, applied to the schema and the name part separately; without a dot the schema is
 * `public`. `"Quoted"."Names"` are understood.
 * @returns matching candidates in their order, empty when nothing matches
 * @example matchNames("ord*", ["public.orders", "app.orders"]) // ["public.orders"]
 */
export function matchNames(typed: string, candidates: readonly string[]): string[] {
  const full = makeFullName(unquote(typed));
  if (candidates.includes(full)) return [full];
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
  return candidates.includes(makeFullName(unquote(typed)));
}

function globToRegExp(glob: string): RegExp {
  const source = glob.replace(/[.*+?^${}()|[\]\\]/g, (char) => char === "*" ? ".*" : char === "?" ? "." : `\\${char}`);
  return new RegExp(`^${source}$`, "su");
}

/** `"My Schema"."a.b"` → `My Schema.a.b`; anything that is not wholly quoted stays as typed. */
function unquote(typed: string): string {
  const part = `"((?:[^"]|"")+)"`;
  const match = new RegExp(`^(?:(?:${part}|([^".]+))\\.)?${part}$`, "s").exec(typed);
  if (match === null) return typed;
  const plain = (text: string) => text.replaceAll('""', '"');
  const schema = match[1] !== undefined ? plain(match[1]) : match[2];
  return schema === undefined ? `public.${plain(match[3]!)}` : `${schema}.${plain(match[3]!)}`;
}
