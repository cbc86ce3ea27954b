/** Scripts run once on every node, among the changes; nothing of one that fails is left anywhere. */
import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

const SCHEMA = `create table "T ""1" (id integer primary key, v text); create table u (id integer primary key);`;

describe("skyq execute", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;
  const script = (name: string, sql: string) => Deno.writeTextFileSync(`${job.dir}/${name}`, sql);
  const count = (db: LentDatabase, what: string) => db.sql(`select count(*) from ${what}`);

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    job = new Job({ provider, subscriber });
    for (const db of [provider, subscriber]) await db.sql(SCHEMA);
    await job.install();
    await job.add('public.T "1', "u");
    job.startReplay();
    await job.allOk();
    return () => job[Symbol.asyncDispose]();
  });

  it("alters a table among its changes, and the capture follows", async () => {
    await provider.sql(`insert into "T ""1" select i, 'a' from generate_series(1, 50) i`);
    script(
      "add.sql",
      `--*-- Local-Table: T "1\nalter table @T "1@ add w text default 'it''s $x$';\nupdate @T "1@ set w = v || '@' where id = 1`,
    );
    await job.run("execute", "conf.ini", "add.sql");
    await provider.sql(`update "T ""1" set w = id::text where id > 40; insert into "T ""1" values (100, null, '')`);
    await job.caughtUp();
    expect(await job.differences('"T ""1"')).toEqual([]);
    expect(await subscriber.sql(`select w from "T ""1" where id in (1, 2, 41) order by id`)).toBe("a@\nit's $x$\n41");
    expect(await count(provider, `skyq.check_capture('${job.queue}') where problem is not null`)).toBe("0");
  });

  it("runs several files in one transaction: one that fails takes all back, and no event is written", async () => {
    script("good.sql", "create table made_by_good (id int)");
    script("bad.sql", "insert into u values (1); insert into u values (1)");
    const { code, stderr } = await job.try("execute", "conf.ini", "good.sql", "bad.sql");
    expect([code, stderr]).toEqual([1, expect.stringMatching(/Cannot execute "bad.sql": duplicate key value/)]);
    expect(await provider.sql("select to_regclass('made_by_good')")).toBe("");
    expect(await count(provider, "londiste.applied_execute where execute_file = 'good.sql'")).toBe("0");
    expect(await count(provider, "u")).toBe("0");
  });

  it("refuses a COMMIT, which would tear the transaction apart", async () => {
    script("commit.sql", "insert into u values (2); commit; insert into u values (3)");
    const { code, stderr } = await job.try("execute", "conf.ini", "commit.sql");
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/"commit.sql": EXECUTE of transaction commands[^]*take BEGIN, COMMIT/),
    ]);
    expect(await count(provider, "u")).toBe("0");
  });

  it("says in which line the server stopped", async () => {
    script("line.sql", "--*-- Local-Table: u\n-- é𝄞\nselect 'é𝄞';\nalter table @u@ add colum x int;\nselect 1");
    const { code, stderr } = await job.try("execute", "conf.ini", "line.sql");
    expect([code, stderr]).toEqual([1, expect.stringMatching(/Cannot execute "line.sql", line 4: syntax error/)]);
    // The place is in the function, not in the script.
    script("inner.sql", "\n\ndo $$ begin perform nowhere(); end $$");
    expect((await job.try("execute", "conf.ini", "inner.sql")).stderr).toMatch(
      /Cannot execute "inner.sql": function nowhere\(\) does not exist/,
    );
  });

  it("says which file cannot be read, and which attribute", async () => {
    expect(await job.try("execute", "conf.ini", "nowhere.sql")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/Cannot read script "nowhere.sql": No such file/),
    });
    script("wrong.sql", "--*-- Need-Tabel: u\nselect 1");
    expect(await job.try("execute", "conf.ini", "wrong.sql")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/line 1.*Need-Tabel.*\n.*hint: Known keys/),
    });
    expect((await job.try("execute", "conf.ini")).code).toBe(2);
  });

  it("warns of a name that no node can have, and says which one may be meant", async () => {
    script("misspelt.sql", "--*-- Local-Table: uu\ninsert into u values (5)");
    const { code, stderr } = await job.try("execute", "conf.ini", "misspelt.sql");
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(
        /WARNING misspelt.sql: no table "uu" is registered in queue "q": the script runs on no node\n.*hint: Did you mean "public.u"\?/,
      ),
    ]);
    script("elsewhere.sql", "--*-- Need-Table: uu\ninsert into u values (5)");
    const needed = await job.try("execute", "conf.ini", "elsewhere.sql");
    expect([needed.code, needed.stderr]).toEqual([0, expect.stringMatching(/hint: Did you mean "public.u"\?/)]);
    expect(needed.stderr).not.toMatch(/WARNING/); // a subscriber may have it
    expect(await count(provider, "u")).toBe("0");
  });

  it("tries on both sides and takes it back with --dry-run, and tells what a subscriber would say", async () => {
    await subscriber.sql("create table only_here (id int)");
    script("clash.sql", "create table only_here (id int)");
    const { code, stderr } = await job.try("execute", "conf.ini", "clash.sql", "--dry-run");
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/provider: Execute finished: clash.sql(.|\n)*relation "only_here" already exists/),
    ]);
    script("partly.sql", "--*-- Need-Table: u, only_here\ninsert into u values (9)");
    expect((await job.try("execute", "conf.ini", "partly.sql", "--dry-run")).stderr).toMatch(/only partially matches/);
    script("fine.sql", "insert into u values (9)");
    expect((await job.try("execute", "conf.ini", "fine.sql", "--dry-run")).code).toBe(0);
    for (const db of [provider, subscriber]) expect(await count(db, "u")).toBe("0");
    expect(await provider.sql("select to_regclass('only_here')")).toBe("");
  });

  it("is passed over the second time", async () => {
    script("fine.sql", "insert into u values (9)");
    await job.run("execute", "conf.ini", "fine.sql");
    const again = await job.try("execute", "conf.ini", "fine.sql");
    expect([again.code, again.stderr]).toEqual([
      0,
      expect.stringMatching(/already applied, skipping(.|\n)*WARNING Skipping/),
    ]);
    await job.caughtUp();
    for (const db of [provider, subscriber]) expect(await count(db, "u")).toBe("1"); // and the triggers logged no row of it
  });

  it("stops a subscriber where the script fails, which says so and goes on once it can", async () => {
    script("clash.sql", "create table only_here (id int)");
    await job.run("execute", "conf.ini", "clash.sql");
    await provider.sql("insert into u values (10)");
    await waitFor(
      () => /\[ev_id=\d+,ev_txid=\d+\] Cannot execute "clash.sql": relation "only_here" already exists/.test(job.log),
      {
        what: "the log to name the script",
      },
    );
    expect(await count(subscriber, "u where id = 10")).toBe("0");
    await subscriber.sql("drop table only_here");
    await job.caughtUp();
    expect(await count(subscriber, "only_here")).toBe("0");
    expect(await count(subscriber, "u where id = 10")).toBe("1");
  });
});
