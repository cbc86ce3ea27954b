import { describe, expect, it } from "vitest";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Runs a test file of its own in a `deno test` of its own. */
async function run(source: string, ...args: string[]): Promise<{ code: number; output: string }> {
  const path = await Deno.makeTempFile({ suffix: "_test.ts" });
  try {
    await Deno.writeTextFile(path, source);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", "--config", `${ROOT}deno.json`, ...args, path],
      env: { NO_COLOR: "1" },
    }).output();
    const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, output: decode(stdout) + decode(stderr) };
  } finally {
    await Deno.remove(path);
  }
}

const HEAD = `import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
const log = (word) => console.log("[[" + word + "]]");
`;

/** What the file logged, in order. */
function logged(output: string): string {
  return [...output.matchAll(/\[\[([\w-]+)\]\]/g)].map(([, word]) => word).join(" ");
}

describe("alias of vitest", () => {
  it("runs before hooks outside in and after hooks inside out", async () => {
    const { code, output } = await run(`${HEAD}
      describe("outer", () => {
        beforeAll(() => { log("all1"); return () => log("undo-all1"); });
        beforeEach(() => { log("each1"); return () => log("undo-each1"); });
        afterEach(() => log("aftereach1"));
        afterAll(() => log("afterall1"));
        describe("inner", () => {
          beforeAll(() => log("all2"));
          beforeEach(() => log("each2"));
          afterEach(() => log("aftereach2"));
          afterAll(() => log("afterall2"));
          it("a", () => log("a"));
          it("b", () => log("b"));
        });
      });`);
    expect(logged(output)).toBe(
      "all1 all2 each1 each2 a aftereach2 aftereach1 undo-each1 " +
        "each1 each2 b aftereach2 aftereach1 undo-each1 afterall2 undo-all1 afterall1",
    );
    expect(output).toContain("outer > inner > a ... ");
    expect(code).toBe(0);
  });

  it("fails every test of a suite whose beforeAll failed, and still runs afterAll", async () => {
    const { code, output } = await run(`${HEAD}
      describe("s", () => {
        beforeAll(() => { throw new Error("no server"); });
        afterAll(() => log("afterall"));
        it("a", () => log("a"));
        it("b", () => log("b"));
      });
      it("other", () => log("other"));`);
    expect(logged(output)).toBe("afterall other");
    expect(output).toContain("1 passed | 2 failed");
    expect(code).toBe(1);
  });

  it("runs afterEach after a failed test, and fails a test by its afterEach", async () => {
    const { code, output } = await run(`${HEAD}
      afterEach(() => log("aftereach"));
      it("a", () => { expect(1, "the note").toBe(2); });
      describe("s", () => { afterEach(() => { throw new Error("after"); }); it("b", () => {}); });`);
    expect(logged(output)).toBe("aftereach aftereach");
    expect(output).toContain("the note");
    expect(output).toContain("0 passed | 2 failed");
    expect(code).toBe(1);
  });

  it("closes suites at the file's end when a filter leaves tests out", async () => {
    const { code, output } = await run(
      `${HEAD}
      describe("s", () => { afterAll(() => log("afterall")); it("wanted", () => log("wanted")); it("left out", () => {}); });`,
      "--filter=wanted",
    );
    expect(logged(output)).toBe("wanted afterall");
    expect(code).toBe(0);
  });

  it("fails the run when only an afterAll at the file's end failed", async () => {
    const { code } = await run(
      `${HEAD}
      afterAll(() => { throw new Error("late"); }); it("wanted", () => {}); it("left out", () => {});`,
      "--filter=wanted",
    );
    expect(code).toBe(1);
  });

  it("names the cases of each, and skips what skipIf says", async () => {
    const { output } = await run(`${HEAD}
      it.each([[1, "x"], [2, "y"]])("%d is %s (%#)", (n, s) => log(n + s));
      describe.each([{ major: 13 }, { major: 15 }])("PostgreSQL $major", ({ major }) => { it("runs", () => log("pg" + major)); });
      it.skipIf(true)("skipped", () => log("skipped"));
      it.skipIf(false)("kept", () => log("kept"));
      describe.skipIf(true)("all of this", () => { it("x", () => log("x")); });`);
    expect(logged(output)).toBe("1x 2y pg13 pg15 kept");
    for (const name of ["1 is x (0)", "2 is y (1)", "PostgreSQL 13 > runs", "all of this > x ... ignored"]) {
      expect(output).toContain(name);
    }
  });

  it("fails a test that takes longer than its limit", async () => {
    const { code, output } = await run(`${HEAD}
      it("slow", () => new Promise((resolve) => setTimeout(resolve, 5000)), 20);`);
    expect(output).toContain("did not end within 20 ms");
    expect(code).toBe(1);
  });

  it("refuses a suite with an asynchronous body", async () => {
    const { code, output } = await run(`${HEAD} describe("s", async () => { it("a", () => {}); });`);
    expect(output).toContain('Cannot define suite "s"');
    expect(code).toBe(1);
  });
});
