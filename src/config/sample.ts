import { type ConfigKind, type Key, KEYS, type KeySpec, REQUIRED } from "./keys.ts";

/**
 * A commented sample config for `kind`, every key explained. Keys that are required, or that `overrides` names, stand
 * there ready; the others behind `#`, and may be uncommented as they are.
 */
export function sampleConfig(kind: ConfigKind, overrides: ReadonlyMap<string, string> = new Map()): string {
  const sample = kind === "node" || kind === "ticker" ? kind : kind === "database" ? "ticker" : "pair";
  const required = new Set<Key>(REQUIRED[kind].map((keys) => keys[0]!));
  const lines = ["[skyq]"];
  for (const [key, spec] of Object.entries<KeySpec>(KEYS)) {
    const override = overrides.get(key);
    if (override === undefined && !spec.samples.some((name) => name === sample)) continue;
    const value = override ?? spec.example ?? defaultText(spec);
    const choices = spec.choices ? ` (${spec.choices.join(", ")})` : "";
    const unit = spec.kind === "duration" ? " (seconds)" : "";
    const mark = override !== undefined || required.has(key as Key) ? "" : "#";
    lines.push("", `## ${spec.help}${choices}${unit}`, `${mark}${key} = ${value}`);
  }
  for (const [key, value] of overrides) if (!(key in KEYS)) lines.push("", `${key} = ${value}`);
  return lines.join("\n") + "\n";
}

function defaultText(spec: KeySpec): string {
  if (typeof spec.default === "boolean") return spec.default ? "1" : "0";
  return Array.isArray(spec.default) ? spec.default.join(", ") : String(spec.default ?? "");
}
