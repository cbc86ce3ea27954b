/** One batch that is much larger than the memory for events, over several tables, some met late, some seldom. */
import { describe, expect, it } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { Job } from "../job.ts";

const SCHEMA = `
  create table wide (id integer primary key, v text);
  create table late (id integer primary key, v text);
  create table huge (id integer primary key, v text);
  create table key_moves (id numeric primary key, v text);
  create table changing (id integer primary key, v text);`;

describe("a batch of many parts", () => {
  it("is applied whole, with tables that come late, events larger than the memory and columns that change", async () => {
    const [provider, subscriber] = await lendDatabases(2);
    await using job = new Job({ provider: provider!, subscriber: subscriber!, settings: { memory_mb: "8" } });
    await provider!.sql(SCHEMA);
    await subscriber!.sql(SCHEMA);
    await job.install();
    const tables = ["wide", "late", "huge", "key_moves", "changing"];
    await job.add(...tables);
    job.startReplay();
    await job.allOk();
    await job.killReplay();
    // The subscriber gets the column first, as the manual says.
    await subscriber!.sql("alter table changing add column added text");
    await provider!.sql(`begin;
      insert into wide select n, repeat('wide ', n % 60) from generate_series(1, 40000) n;
      insert into late values (1, 'first');
      update wide set v = v || '!' where id % 3 = 0;
      insert into huge values (1, repeat('x', 12000000)), (2, 'small'), (3, repeat(E'%\\\\\\t', 2000000));
      update late set v = 'second' where id = 1;
      insert into key_moves values (1.0, 'a'), (2, 'b');
      update key_moves set id = 1.00, v = 'c' where id = 1;
      insert into changing select n, 'old' from generate_series(1, 100) n;
      delete from wide where id % 5 = 0;
      commit;
      alter table changing add column added text;
      begin;
      update changing set added = 'new' where id % 2 = 0;
      insert into wide select -n, 'again' from generate_series(1, 40000) n;
      update huge set v = repeat('y', 9000000) where id = 2;
      commit;`);
    job.startReplay();
    await job.caughtUp();
    expect(await job.differences(...tables)).toEqual([]);
    expect(job.log).not.toContain("bug");
    expect(job.log).not.toContain("missed_rows");
  });
});
