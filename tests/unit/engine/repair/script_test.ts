import { Buffer } from "node:buffer";
import { describe, expect, it, vi } from "vitest";
import { join } from "node:path";
import { UNDO_HEAD } from "../../../../src/engine/repair/files.ts";
import type { Layout } from "../../../../src/engine/repair/layout.ts";
import { keepOlder, Script } from "../../../../src/engine/repair/script.ts";
import type { UniqueRule } from "../../../../src/engine/repair/unique_rules.ts";
import type { Difference } from "../../../../src/engine/repair/walk.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function tempDir(): string {
  return Deno.makeTempDirSync({ prefix: "skyq-script-" });
}

const column = (name: string, isKey: boolean) => {
  const side = { quotedName: name, hasEquality: true, equality: "=", builtin: "int4", type: "integer" };
  return { name, isKey, isGenerated: false, source: side, target: side };
};
const LAYOUT = {
  target: { quotedTable: "public.t", isPartitioned: false },
  key: [column("id", true)],
  columns: [column("id", true), column("u", false)],
} as unknown as Layout;
const RULE = {
  name: "t_u_key",
  columns: [1],
  isExact: true,
  isDeferrable: false,
  nullsAreSame: false,
  aside: { column: 1, how: { kind: "null" } },
} as unknown as UniqueRule;

function update(id: number, from: string, to: string): Difference {
  const key = [bytes(String(id))];
  return { kind: "update", key, source: [...key, bytes(to)], target: [...key, bytes(from)] };
}

function insert(id: number, u: string): Difference {
  const row = [bytes(String(id)), bytes(u)];
  return { kind: "insert", key: row.slice(0, 1), source: row, target: null };
}

function scriptIn(dir: string, preamble: string = UNDO_HEAD.applied): Script {
  return new Script(dir, "undo.t.sql", { preamble, end: "", layout: LAYOUT, rules: [RULE] });
}

describe("a script", () => {
  it("sets rows of a cycle aside, and lets those of a chain have their turns", () => {
    const dir = tempDir();
    const script = scriptIn(dir, "-- head\n");
    script.write(insert(9, "9"));
    script.write(update(1, "1", "2"));
    script.write(update(2, "2", "1"));
    script.write(update(3, "3", "4"));
    script.write(update(4, "4", "5"));
    const set = (id: number, from: string, to: string) =>
      `update only public.t set u = ${to} where id = '${id}' and u ${from === "null" ? "is" : "="} ${from};`;
    const written = Deno.readTextFileSync(script.finish()!).trimEnd().split("\n");
    expect(written.slice(0, 2)).toEqual(["-- head", "begin;"]);
    expect(written.slice(-2)).toEqual(["commit;", "insert into public.t (id, u) values ('9', '9');"]);
    expect(written.indexOf(set(4, "'4'", "'5'"))).toBeLessThan(written.indexOf(set(3, "'3'", "'4'")));
    // One of the two is enough.
    expect(written.filter((line) => line.includes("u = null"))).toHaveLength(1);
    Deno.removeSync(dir, { recursive: true });
  });

  it("of more rows than fit into memory sets all of them aside", () => {
    const dir = tempDir();
    const script = scriptIn(dir);
    const count = 10_000;
    const long = (n: number) => String(n).padStart(400, "0");
    for (let id = 0; id < count; id++) script.write(update(id, long(id), long((id + 1) % count)));
    const held = new Map(Array.from({ length: count }, (_, id) => [String(id), long(id)]));
    const taken = new Set(held.values());
    const pattern = /^update only public\.t set u = (?:null|'(\d+)') where id = '(\d+)' and u (?:is null|= '(\d+)');$/;
    for (const line of Deno.readTextFileSync(script.finish()!).trimEnd().split("\n")) {
      const match = pattern.exec(line);
      if (match === null) continue;
      const [, to, id, from] = match;
      // As the server would.
      if (held.get(id!) !== (from ?? "null")) throw new Error(`row ${id} is not found: ${line}`);
      taken.delete(from ?? "");
      if (to !== undefined && taken.has(to)) throw new Error(`duplicate key: ${line}`);
      if (to !== undefined) taken.add(to);
      held.set(id!, to ?? "null");
    }
    expect([...held].every(([id, u]) => u === long((Number(id) + 1) % count))).toBe(true);
    Deno.removeSync(dir, { recursive: true });
  });

  it("puts the pieces of a large row together once", () => {
    const dir = tempDir();
    const script = scriptIn(dir, "");
    const [a, b] = ["a", "b"].map((letter) => letter.repeat(900_000)) as [string, string];
    script.write(update(1, a, b));
    script.write(update(2, "x", "y"));
    script.write(update(3, b, a));
    script.flush();
    const concat = vi.spyOn(Buffer, "concat");
    const written = Deno.readTextFileSync(script.finish()!);
    const copied = concat.mock.calls.flatMap(([pieces]) => pieces as Uint8Array[])
      .reduce((size, piece) => size + piece.length, 0);
    concat.mockRestore();
    expect(written.trimEnd().split("\n")).toHaveLength(6); // begin, one aside, three, commit
    // Some readings, each of all; then what is written.
    expect(copied).toBeLessThan(8 * written.length);
    Deno.removeSync(dir, { recursive: true });
  });

  it("forgets what did not happen", () => {
    const dir = tempDir();
    const script = scriptIn(dir, "-- head\n");
    script.write(update(1, "1", "2"));
    const sizes = script.flush();
    script.write(update(2, "2", "1"));
    script.write(insert(3, "3"));
    script.flush();
    script.truncate(sizes);
    script.write(insert(4, "4"));
    script.flush();
    script.giveUp({ isKept: true });
    const again = scriptIn(dir, "-- head\n");
    again.resume(sizes);
    again.write(insert(5, "5"));
    expect(Deno.readTextFileSync(again.finish()!)).toBe(
      "-- head\nupdate only public.t set u = '2' where id = '1' and u = '1';\n" +
        "insert into public.t (id, u) values ('5', '5');\n",
    );
    Deno.removeSync(dir, { recursive: true });
  });
});

describe("an undo file of an earlier run", () => {
  it("is kept by a number", () => {
    const dir = tempDir();
    const path = join(dir, "undo.t.sql");
    keepOlder(dir, "undo.t.sql"); // nothing there: nothing to do
    for (const text of ["first", "second"]) {
      Deno.writeTextFileSync(path, text);
      keepOlder(dir, "undo.t.sql");
    }
    expect(Deno.readTextFileSync(`${path}.~1~`)).toBe("first");
    expect(Deno.readTextFileSync(`${path}.~2~`)).toBe("second");
    // Of a run that was killed after it had applied something.
    Deno.writeTextFileSync(`${path}.part`, `${UNDO_HEAD.applied}third`);
    keepOlder(dir, "undo.t.sql");
    expect(Deno.readTextFileSync(`${path}.~3~`)).toBe(`${UNDO_HEAD.applied}third`);
    // Of one that was killed before its fix file was complete.
    Deno.writeTextFileSync(`${path}.part`, `${UNDO_HEAD.fixFile}fourth`);
    keepOlder(dir, "undo.t.sql");
    expect([...Deno.readDirSync(dir)].length).toBe(3);
    Deno.removeSync(dir, { recursive: true });
  });

  it("is not kept of a run that was killed before it had applied anything", () => {
    const dir = tempDir();
    const script = scriptIn(dir, UNDO_HEAD.fixFile);
    // More than is kept in memory.
    for (let id = 0; id < 3000; id++) script.write(update(id, String(id), `${id}.`));
    expect([...Deno.readDirSync(dir)].map(({ name }) => name).sort()).toEqual(["undo.t.sql.2.part", "undo.t.sql.part"]);
    keepOlder(dir, "undo.t.sql");
    expect([...Deno.readDirSync(dir)]).toEqual([]);
    Deno.removeSync(dir, { recursive: true });
  });

  it("is put together of what a run has left that was killed", () => {
    const dir = tempDir();
    const script = scriptIn(dir);
    script.write(update(1, "1", "2"));
    script.write(update(2, "2", "1"));
    script.write(insert(3, "3"));
    script.flush();
    script.giveUp({ isKept: true });
    keepOlder(dir, "undo.t.sql");
    expect([...Deno.readDirSync(dir)].map(({ name }) => name)).toEqual(["undo.t.sql.~1~"]);
    const lines = Deno.readTextFileSync(join(dir, "undo.t.sql.~1~")).trimEnd().split("\n");
    expect([lines[0], lines[1], lines.length]).toEqual([UNDO_HEAD.applied.trimEnd(), "begin;", 7]);
    Deno.removeSync(dir, { recursive: true });
  });
});
