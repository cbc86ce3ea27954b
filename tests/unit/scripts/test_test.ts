import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

describe("deno task test", () => {
  let dir: string;
  beforeAll(async () => {
    dir = await Deno.makeTempDir();
    await Deno.writeTextFile(
      `${dir}/good_test.ts`,
      `Deno.test("good", () => { if (!Deno.env.get("SKYQ_TEST_PAIR")) throw new Error("no clusters"); });
       Deno.test("prints", () => console.log("ok | 99 passed | 0 failed"));`,
    );
    await Deno.writeTextFile(
      `${dir}/bad_test.ts`,
      `Deno.test("bad", () => { throw new Error("bad"); }); Deno.test.ignore("later", () => {});`,
    );
    await Deno.writeTextFile(`${dir}/broken_test.ts`, `import "./nowhere.ts";`);
  });
  afterAll(() => Deno.remove(dir, { recursive: true }));

  it.each([
    { files: ["good"], line: "2 passed, 0 failed", code: 0 },
    { files: ["good", "bad"], line: "2 passed, 1 failed, 1 skipped", code: 1 },
    { files: ["broken"], line: "0 passed, 1 failed", code: 1 },
  ])("ends with $line", async ({ files, line, code }) => {
    const result = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "scripts/test.ts", ...files.map((file) => `${dir}/${file}_test.ts`)],
      cwd: ROOT,
    }).output();
    expect(new TextDecoder().decode(result.stdout).trimEnd().split("\n").at(-1)).toBe(line);
    expect(result.code).toBe(code);
  });
});
