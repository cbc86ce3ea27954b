import { describe, expect, it } from "vitest";
import { join } from "node:path";
import { checkWritable, fileName, StatementFile } from "../../../../src/engine/repair/files.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function tempDir(): string {
  return Deno.makeTempDirSync({ prefix: "skyq-files-" });
}

describe("fileName()", () => {
  it("keeps what is harmless and spells out the rest", () => {
    expect(fileName("fix", "public.orders")).toBe("fix.public.orders.sql");
    expect(fileName("undo", "öff.Über t")).toBe("undo.öff.Über t.sql");
    expect(fileName("fix", "a.../../etc/passwd")).toBe("fix.a...%2F..%2Fetc%2Fpasswd.sql");
    expect(fileName("fix", "a.b\nc\\'\"")).toBe("fix.a.b%0Ac%5C%27%22.sql");
  });

  it("cuts what is too long, and keeps names apart", () => {
    const [a, b] = ["a", "b"].map((end) => fileName("fix", `${"/".repeat(60)}.${"ü".repeat(30)}${end}`));
    expect(a).not.toBe(b);
    expect(bytes(a!).length).toBeLessThan(255);
  });
});

describe("a file of statements", () => {
  it("has its name only when it is complete, and does not exist without a statement", () => {
    const dir = tempDir();
    const file = new StatementFile(dir, "fix.t.sql", "-- head\n");
    file.write(bytes("one;\n"));
    file.flush();
    expect([...Deno.readDirSync(dir)].map(({ name }) => name)).toEqual(["fix.t.sql.part"]);
    file.write(bytes("two;\n"));
    expect(file.finish()).toBe(join(dir, "fix.t.sql"));
    expect(Deno.readTextFileSync(join(dir, "fix.t.sql"))).toBe("-- head\none;\ntwo;\n");
    const empty = new StatementFile(dir, "fix.u.sql", "-- head\n");
    expect(empty.finish()).toBe(null);
    expect([...Deno.readDirSync(dir)].length).toBe(1);
    Deno.removeSync(dir, { recursive: true });
  });

  it("forgets what did not happen, and goes on where it was", () => {
    const dir = tempDir();
    const file = new StatementFile(dir, "undo.t.sql", "");
    file.write(bytes("kept;\n"));
    const size = file.flush();
    file.write(bytes("rolled back;\n"));
    file.flush();
    file.truncate(size);
    file.write(bytes("next;\n"));
    expect(file.flush()).toBe(size + 6);
    file.giveUp({ isKept: true });
    const again = new StatementFile(dir, "undo.t.sql", "");
    again.resume(size);
    again.write(bytes("other;\n"));
    again.finish();
    expect(Deno.readTextFileSync(join(dir, "undo.t.sql"))).toBe("kept;\nother;\n");
    const nothing = new StatementFile(dir, "nothing.sql", "-- head\n");
    nothing.write(bytes("rolled back;\n"));
    nothing.flush();
    nothing.truncate(0);
    expect(nothing.finish()).toBe(null);
    expect([...Deno.readDirSync(dir)].length).toBe(1);
    const missing = new StatementFile(dir, "gone.sql", "");
    expect(() => missing.resume(5)).toThrow("Cannot go on with");
    Deno.removeSync(dir, { recursive: true });
  });

  it("is not written through a link that somebody has put in its place", () => {
    const dir = tempDir();
    const victim = join(dir, "victim");
    Deno.writeTextFileSync(victim, "precious");
    const file = new StatementFile(dir, "fix.t.sql", "");
    for (const name of ["fix.t.sql", "fix.t.sql.part"]) Deno.symlinkSync(victim, join(dir, name));
    file.write(bytes("one;\n"));
    expect(() => file.flush()).toThrow("Cannot write");
    file.clear();
    Deno.symlinkSync(victim, join(dir, "fix.t.sql"));
    file.finish();
    expect(Deno.readTextFileSync(join(dir, "fix.t.sql"))).toBe("one;\n");
    expect(Deno.readTextFileSync(victim)).toBe("precious");
    Deno.removeSync(dir, { recursive: true });
  });

  it("says when there is no room", () => {
    const file = new StatementFile("/dev", "full/x", "");
    file.write(bytes("one;\n"));
    expect(() => file.flush()).toThrow('Cannot write "/dev/full/x"');
    expect(() => checkWritable("/nowhere/at/all")).toThrow('Cannot write to directory "/nowhere/at/all"');
  });
});
