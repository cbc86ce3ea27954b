// Values as a person reads them: numbers with units, texts that stay on their line.

const UNITS: readonly [letter: string, seconds: number][] = [["d", 86_400], ["h", 3600], ["m", 60]];

/**
 * A span of time in its two largest units; below a minute with up to two decimals.
 * @example formatSeconds(3725) === "1h2m" && formatSeconds(0.25) === "0.25s"
 */
export function formatSeconds(seconds: number): string {
  if (seconds < 0) return `-${formatSeconds(-seconds)}`;
  if (seconds < 60) return `${Math.round(seconds * 100) / 100}s`;
  let rest = Math.round(seconds);
  const parts: string[] = [];
  for (const [letter, size] of [...UNITS, ["s", 1] as const]) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count}${letter}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join("");
}

/** A size in bytes. @example formatBytes(1536n) === "1.5 kB" */
export function formatBytes(bytes: number | bigint): string {
  let value = Number(bytes);
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1024) return `${unit === "B" ? value : value.toFixed(value < 10 ? 1 : 0)} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} TB`;
}

const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * A text from a database on one line: control characters as escapes, so that it cannot break a table, forge a line or
 * command the terminal. Everything else stays as it is; what has to be exact goes out as JSON.
 * @example oneLine("a\nb\x1b") === "a\\nb\\x1b"
 */
export function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, (character) => {
    const code = character.charCodeAt(0);
    return ESCAPES[character] ??
      (code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`);
  });
}

/** @example counted(2, "event") === "2 events" && counted(1, "event") === "1 event" */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
