/** The provider's tables and triggers change under a running capture. */
import { describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { Job } from "../job.ts";

const SCHEMA = `create table t (id integer primary key, v integer, n integer)`;

async function captureOf(provider: LentDatabase): Promise<string> {
  return (await provider.sql("select mode || ' ' || columns from skyq.capture where table_name = 'public.t'")).trim();
}

describe("capture by statement", () => {
  it("gives way to capture by row when a trigger makes it unsafe, and follows the table's columns", async () => {
    const [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    await provider.sql(SCHEMA);
    await subscriber.sql(SCHEMA);
    await using job = new Job({ provider, subscriber });
    await job.install();
    await job.run("provider", "add", "conf.ini", "t", "--capture=statement");
    await job.run("subscriber", "add", "conf.ini", "t");
    job.startReplay();
    await job.allOk();
    expect(await captureOf(provider)).toMatch(/^statement/);
    await provider.sql(
      "insert into t select i, i, 0 from generate_series(1, 1000) i; update t set v = v + 1; delete from t where id % 7 = 0",
    );
    await job.caughtUp();
    expect(await job.differences("t")).toEqual([]);

    await job.killReplay();
    await subscriber.sql("alter table t add c text");
    await provider.sql(`
      create function also() returns trigger language plpgsql as
        $$ begin update t set n = n + 1 where id = new.id and n = old.n; return null; end $$;
      create trigger also after update of v on t for each row execute function also();
      alter table t add c text`);
    job.startReplay();
    await job.caughtUp();
    expect(await captureOf(provider)).toMatch(/^row .* c 25/);
    // The row trigger's update comes after the row's own: by statement it would have been logged before.
    await provider.sql("update t set v = v + 1, c = 'x' where id % 2 = 0");
    await job.caughtUp();
    expect(await job.differences("t")).toEqual([]);
    expect(job.log).toContain("is captured by row from now on");
  });

  it("is refused where it is not safe, and changed by adding again", async () => {
    const [provider] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    await provider.sql("create table t (id integer primary key, parent integer references t on delete cascade)");
    await using job = new Job({ provider, subscriber: provider });
    await job.run("provider", "install", "conf.ini");
    const refused = await job.try("provider", "add", "conf.ini", "t", "--capture=statement");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("by statement");
    expect((await job.run("provider", "tables", "conf.ini")).trim()).toBe("");
    await job.run("provider", "add", "conf.ini", "t");
    expect(await captureOf(provider)).toMatch(/^row/);
    await provider.sql("alter table t drop constraint t_parent_fkey");
    await job.run("provider", "add", "conf.ini", "t", "--capture=statement");
    expect(await captureOf(provider)).toMatch(/^statement/);
  });
});
