/** Command lines as a table: what is typed, and all that a person and a script see of it. */
import { expect, it } from "vitest";
import type { Job } from "../job.ts";

export interface Line {
  /** Words behind `skyq`; a word with a blank in it stands in single quotes. */
  readonly type: string;
  /** Says what differs where the same line stands twice. */
  readonly when?: string;
  /** Exit status; 0 when not given. */
  readonly code?: number;
  /** All of stdout, or what it matches; nothing when not given. */
  readonly out?: string | RegExp;
  /** Each stands in what is said on stderr, as `LEVEL text` without time and process. */
  readonly says?: readonly (string | RegExp)[];
  /** Stand not there. */
  readonly saysNot?: readonly string[];
  /** Run before, and after whatever comes of it. */
  readonly before?: () => Promise<unknown> | unknown;
  readonly after?: () => Promise<unknown> | unknown;
}

/** One test per line, in their order. */
export function testLines(job: () => Job, lines: readonly Line[]): void {
  for (const { type, when, code = 0, out = "", says = [], saysNot = [], before, after } of lines) {
    it(`${type}${when === undefined ? "" : ` (${when})`}`, async () => {
      await before?.();
      try {
        const result = await job().try(...wordsOf(type));
        const shown = { type, code: result.code, stderr: result.stderr };
        expect(shown).toEqual({ ...shown, code });
        if (typeof out === "string") expect(result.stdout).toBe(out);
        else expect(result.stdout).toMatch(out);
        // Data goes to stdout, talk to stderr: a log line never stands on stdout.
        expect(result.stdout).not.toMatch(/^\d{4}-\d\d-\d\d .* (INFO|WARNING|ERROR)/m);
        const text = result.stderr.replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \d+ /gm, "");
        for (const part of says) expect(text).toMatch(typeof part === "string" ? new RegExp(escaped(part)) : part);
        for (const part of saysNot) expect(text).not.toContain(part);
        expect(text).not.toContain("bug in skyq");
      } finally {
        await after?.();
      }
    });
  }
}

function wordsOf(type: string): string[] {
  return (type.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replace(/^'(.*)'$/s, "$1"));
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
