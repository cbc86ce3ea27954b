import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { join } from "node:path";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { skyq, type SkyqResult } from "../../harness/process.ts";

describe("compare and repair of keys that no server has in byte order", () => {
  let source: LentDatabase;
  let target: LentDatabase;
  let dir: string;
  beforeAll(async () => {
    [source, target] = await lendDatabases(2);
    dir = Deno.makeTempDirSync({ prefix: "skyq-sorted-" });
    const rows = `create table w (word text collate "und-x-icu" primary key, n integer);
      insert into w select (array['a', 'B', 'ä', 'Z', 'z '])[i % 5 + 1] || md5(i::text), i from generate_series(1, 20000) i`;
    await Promise.all([source.sql(rows), target.sql(rows)]);
    await target.sql("delete from w where n = 7; update w set n = -n where n % 5000 = 3; insert into w values ('', 0)");
  });
  afterAll(() => Deno.removeSync(dir, { recursive: true }));

  const run = (command: "compare" | "repair", ...args: string[]): Promise<SkyqResult> =>
    skyq([command, `--source=${source.dsn()}`, `--target=${target.dsn()}`, "w", "--method=stream", ...args], {
      cwd: dir,
    });

  it("finds and mends the same with --sort=local, and leaves nothing in the directory", async () => {
    const byServers = await run("repair", "--dry-run");
    // The encoding of the statements, and six of them.
    expect(byServers.stdout.trimEnd().split("\n").length).toBe(7);
    expect(byServers.stdout).toMatch(/^set client_encoding = /);
    const here = await run("repair", "--dry-run", "--sort=local", "--sort-bufsize=256kB");
    expect(here).toMatchObject({ code: 3, stdout: byServers.stdout });
    expect([...Deno.readDirSync(dir)]).toEqual([]);
    expect((await run("repair", "--apply", "--sort=local", `--sort-dir=${dir}`)).code).toBe(0);
    expect((await run("compare", "--sort=local")).code).toBe(0);
  });

  it("says what is wrong with the directory or the size before it begins", async () => {
    const missing = await run("compare", "--sort=local", `--sort-dir=${join(dir, "none")}`);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain("none");
    expect(await run("compare", "--sort=local", "--sort-bufsize=30%")).toMatchObject({ code: 2 });
    const alone = await run("compare", "--sort-bufsize=1MB");
    expect([alone.code, alone.stderr]).toEqual([2, expect.stringContaining("it is for --sort=local")]);
  });
});
