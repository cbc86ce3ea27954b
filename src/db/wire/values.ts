/** Parameters and results as text, the same for both kinds of connection; `queryable.ts` has the rule. */
import type { Param } from "../queryable.ts";

/** Type ids that come back as something else than the server's text. */
export const OID = {
  bool: 16,
  int8: 20,
  int2: 21,
  int4: 23,
  oid: 26,
  float4: 700,
  float8: 701,
  nameArray: 1003,
  textArray: 1009,
} as const;

/** Text form of a parameter; null is SQL's NULL. */
export function encodeParam(param: Param): string | null {
  if (param === null) return null;
  if (typeof param === "object") return encodeArray(param);
  if (typeof param === "boolean") return param ? "t" : "f";
  return String(param);
}

/** @example encodeArray(["a", null, 'b"c']) === '{"a",NULL,"b\\"c"}' */
export function encodeArray(values: readonly (string | number | bigint | null)[]): string {
  const parts = values.map((value) => {
    if (value === null) return "NULL";
    return typeof value === "string" ? `"${value.replace(/["\\]/g, "\\$&")}"` : String(value);
  });
  return `{${parts.join(",")}}`;
}

/** The value that stands for the server's `text` of type `typeOid`. */
export function decodeValue(typeOid: number, text: string): unknown {
  switch (typeOid) {
    case OID.bool:
      return text === "t";
    case OID.int8:
      return BigInt(text);
    case OID.int2:
    case OID.int4:
    case OID.oid:
    case OID.float4:
    case OID.float8:
      return Number(text);
    case OID.nameArray:
    case OID.textArray:
      return decodeArray(text);
    default:
      return text;
  }
}

/** A one-dimensional array's text form, as the server writes it, to its elements. */
export function decodeArray(text: string): (string | null)[] {
  const values: (string | null)[] = [];
  // Bounds other than 1 stand in front: [0:2]={a,b,c}
  let at = text.indexOf("{") + 1;
  while (at < text.length && text[at] !== "}") {
    if (text[at] === '"') {
      let value = "";
      for (at++; at < text.length && text[at] !== '"'; at++) {
        if (text[at] === "\\") at++;
        value += text[at];
      }
      values.push(value);
      at++;
    } else {
      const start = at;
      while (at < text.length && text[at] !== "," && text[at] !== "}") at++;
      const value = text.slice(start, at);
      values.push(value === "NULL" ? null : value);
    }
    if (text[at] === ",") at++;
  }
  return values;
}
