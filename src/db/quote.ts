/** Quotes an identifier, always: `Ta"ble` → `"Ta""ble"`. */
export function quoteIdent(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Quotes a string literal; one with a backslash as `E'…'`, so that `standard_conforming_strings` does not matter. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll("\\", "\\\\")}'`;
  return text.includes("\\") ? ` E${quoted}` : quoted;
}

/** Splits a full name at its first dot; without a dot the schema is `public`. */
export function splitName(fullName: string): { schema: string; name: string } {
  const dot = fullName.indexOf(".");
  return dot < 0
    ? { schema: "public", name: fullName }
    : { schema: fullName.slice(0, dot), name: fullName.slice(dot + 1) };
}

/** Quotes a full name: `public.Ta.ble` → `"public"."Ta.ble"`. */
export function quoteFullName(fullName: string): string {
  const { schema, name } = splitName(fullName);
  return `${quoteIdent(schema)}.${quoteIdent(name)}`;
}

/** Completes a name as typed: `orders` → `public.orders`. */
export function makeFullName(name: string): string {
  return name.includes(".") ? name : `public.${name}`;
}
