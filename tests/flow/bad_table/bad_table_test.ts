/** A table that cannot be copied, and an event that cannot be applied: said clearly, and mended by mending the cause. */
import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

const SCHEMA = `
  create table bad (id integer primary key, v integer);
  create table good (id integer primary key, v integer);`;

describe("what cannot be copied or applied", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    job = new Job({ provider, subscriber });
    await provider.sql(SCHEMA + "insert into bad values (1, -1); insert into good values (1, 1)");
    await subscriber.sql(SCHEMA + "alter table bad add constraint positive check (v > 0)");
    await job.install();
    await job.add("bad", "good");
    job.startReplay();
    return () => job[Symbol.asyncDispose]();
  });

  it("a table whose copy fails shows why, and keeps no other table from its copy", async () => {
    await waitFor(async () => (await job.states()).get("public.good") === "ok", { what: "good to be ok" });
    expect(await job.run("subscriber", "tables", "conf.ini")).toMatch(
      /public\.bad +in-copy +.*positive" \(Failing row contains \(1, -1\)\.\)/,
    );
    await provider.sql("insert into good values (2, 2)");
    await waitFor(async () => (await subscriber.sql("select count(*) from good")).trim() === "2", {
      what: "good to be replayed",
    });
  });

  it("and is copied once the cause is gone", async () => {
    await subscriber.sql("alter table bad drop constraint positive");
    await job.allOk();
    await job.caughtUp();
    expect(await job.differences("bad", "good")).toEqual([]);
    expect(await job.run("subscriber", "tables", "conf.ini")).not.toMatch(/positive/);
  });

  it("an event that cannot be applied is named with its table and id, and applied once the cause is gone", async () => {
    await subscriber.sql("insert into good values (3, 33)");
    await provider.sql("insert into good values (3, 3)");
    await waitFor(
      () =>
        /\[ev_id=\d+,ev_txid=\d+\] .*"I:id".*"public\.good".*good_pkey" \(Key \(id\)=\(3\) already exists\.\);/.test(
          job.log,
        ),
      {
        what: "the log to name the event",
      },
    );
    const shown = await subscriber.sql("select cur_error from pgq_node.local_state where consumer_name = 'job'");
    expect(shown).toContain("Key (id)=(3) already exists.");
    const tables = await job.run("subscriber", "tables", "conf.ini");
    expect(tables).toMatch(/public\.good +ok\n\nLast error of the replay: \[ev_id=.*Key \(id\)=\(3\)/);
    const rows = (await job.run("subscriber", "tables", "conf.ini", "--json")).trim().split("\n");
    expect(rows.map((row) => JSON.parse(row).replay_error)).toEqual(rows.map(() => shown.trim()));
    await subscriber.sql("delete from good where id = 3");
    await job.caughtUp();
    expect(await job.differences("good")).toEqual([]);
    expect((await subscriber.sql("select count(*) from pgq_node.local_state where cur_error is not null")).trim()).toBe(
      "0",
    );
    expect(await job.run("subscriber", "tables", "conf.ini")).toMatch(/public\.good +ok\n$/);
  });

  it("rows that the subscriber has lost are counted in each batch, and the table is complained of once", async () => {
    await provider.sql(`insert into good select i, i from generate_series(100, 300) i`);
    await job.caughtUp();
    await subscriber.sql("delete from good where id in (150, 151, 152)");
    await provider.sql("update good set v = v + 1 where id between 100 and 300");
    await job.caughtUp();
    expect(job.log).toMatch(/missed_rows: 3/);
    expect(job.log).toMatch(
      /public\.good: 3 rows to update are not there: .*drifted apart\n.*hint: .*resync CONFIG public\.good/,
    );
    for (const rows of [2, 1]) { // few, and so applied one by one
      await provider.sql(`update good set v = v + 1 where id between 151 and 150 + ${rows}`);
      await waitFor(() => job.log.includes(`missed_rows: ${rows}`), {
        what: `the line of a batch with ${rows} missed`,
      });
    }
    expect(job.log.match(/drifted apart/g)).toHaveLength(1);
  });

  it("rows that the subscriber's own triggers keep out are counted, and called what they are", async () => {
    for (const db of [provider, subscriber]) await db.sql("create table sieved (id integer primary key, v text)");
    await subscriber.sql(`
      create function sieve() returns trigger language plpgsql as $$
      begin return case when new.v like 'no%' then null else new end; end $$;
      create trigger sieve before insert on sieved for each row execute function sieve();
      alter table sieved enable always trigger sieve`);
    await job.add("sieved");
    await job.allOk();
    await provider.sql(
      "insert into sieved select i, case when i <= 103 then 'no' else 'yes' end from generate_series(101, 300) i",
    );
    await job.caughtUp();
    await waitFor(() => /missed_rows: 3\b[^]*missed_rows: 3\b/.test(job.log), { what: "the line of the large batch" });
    // Few go one by one.
    await provider.sql("insert into sieved values (1, 'no'); insert into sieved values (2, 'yes')");
    await job.caughtUp();
    await waitFor(() => /missed_rows: 1\b[^]*missed_rows: 1\b/.test(job.log), { what: "the line of the small batch" });
    expect(job.log).toMatch(/public\.sieved: 3 rows to insert did not get in: a trigger or rule of the subscriber's/);
    expect((await subscriber.sql("select count(*), min(id) from sieved")).trim()).toBe("198|2");
  });
});
