/** Foreign keys that the subscriber's rows violate: they stay pending, the rows are named, and replay goes on. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

const SCHEMA = `
  create table "The Parent" (a integer, b text, primary key (a, b));
  create table child (id integer primary key, a integer, b text);
  create table strict (id integer primary key, a integer, b text);`;

describe("foreign keys that rows violate", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber });
    await provider.sql(`${SCHEMA}
      insert into "The Parent" values (1, 'x'), (2, 'y, (z)');
      insert into child select i, i, 'none' from generate_series(10, 30) i; insert into child values (1, 1, 'x'), (2, null, 'x');
      insert into strict values (1, 1, 'x'), (2, null, 'x'), (3, null, null);`);
    // The provider has no such keys: its rows need not keep them.
    await subscriber.sql(`${SCHEMA}
      alter table child add constraint c_p foreign key (a, b) references "The Parent" deferrable;
      alter table strict add constraint s_p foreign key (a, b) references "The Parent" match full on delete cascade;`);
    await job.install();
    job.startReplay();
    await job.add("The Parent", "child", "strict");
    await job.allOk();
  });
  afterAll(async () => await job?.[Symbol.asyncDispose]());

  const pending = async () =>
    (await subscriber.sql("select fkey_name from londiste.pending_fkeys order by 1")).trim().split("\n").filter(
      Boolean,
    );

  it("are reported with values and keys, the first few", async () => {
    await waitFor(() => /Cannot restore fkey s_p/.test(job.log), { what: "both to be tried" });
    expect(job.log).toContain(
      "rows of public.child that refer to nothing: (a, b) = (10, none) in (id) = (10), (11, none) in (11), " +
        "(12, none) in (12), (13, none) in (13), (14, none) in (14), …; it stays pending",
    );
    expect(job.log).toContain(
      "rows of public.strict that refer to nothing: (a, b) = (NULL, x) in (id) = (2); it stays pending",
    );
    expect(await pending()).toEqual(["c_p", "s_p"]);
  });

  it("do not stop the replay", async () => {
    await provider.sql("insert into child values (100, 2, 'y, (z)'); delete from strict where id = 2");
    await job.caughtUp();
    expect(await job.differences(`"The Parent"`, "child", "strict")).toEqual([]);
  });

  it("are made by hand as soon as the rows are mended, each by itself", async () => {
    const { code, stderr } = await job.try("subscriber", "restore-fkeys", "conf.ini");
    expect(code).toBe(1);
    expect(stderr).toContain("Creating fkey: s_p (public.strict --> public.The Parent)");
    expect(stderr).toContain("Cannot restore fkey c_p");
    expect(await pending()).toEqual(["c_p"]);
    await provider.sql("delete from child where b = 'none'");
    await job.caughtUp();
    await job.run("subscriber", "restore-fkeys", "conf.ini", "child");
    expect(await pending()).toEqual([]);
    const definitions = (await subscriber.sql(
      "select convalidated, pg_get_constraintdef(oid) from pg_constraint where conname in ('c_p', 's_p') order by conname",
    )).trim();
    expect(definitions).toBe(
      `t|FOREIGN KEY (a, b) REFERENCES "The Parent"(a, b) DEFERRABLE\n` +
        `t|FOREIGN KEY (a, b) REFERENCES "The Parent"(a, b) MATCH FULL ON DELETE CASCADE`,
    );
  });
});
