/** Tables that are altered while changes are in flight: what can go on goes on, what cannot pauses alone and heals. */
import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate, gateSql } from "../gate.ts";
import { Job } from "../job.ts";
import { Writer } from "../writer.ts";

const TABLES = ["grows", "early", "shrinks", "needy", "renamed", "retyped", "recut", "moved", "guarded", "rekeyed"];
const SCHEMA = [...TABLES, "other"].map((name) =>
  `create table ${name} (id integer primary key, v text, w integer); insert into ${name} values (1, 'one', 1);`
).join("\n");

describe("tables that are altered while changes are in flight", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;
  let others: Writer;

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    job = new Job({ provider, subscriber });
    for (const db of [provider, subscriber]) await db.sql(SCHEMA);
    await job.install();
    await job.add(...TABLES, "other");
    job.startReplay();
    await job.allOk();
    others = new Writer(provider, (n) => `insert into other values (${n + 1}, 'x', ${n})`);
    return async () => {
      await others.stop();
      await job[Symbol.asyncDispose]();
    };
  });

  const paused = (table: string, reason: RegExp) =>
    waitFor(() => new RegExp(`ERROR Table public\\.${table} is paused, .*${reason.source}`).test(job.log), {
      what: `${table} to be paused because of ${reason}`,
    }).catch((error) => {
      throw new Error(`${error.message}\n${job.log.slice(-3000)}`);
    });
  /** The others do not wait: what was written to them after the pause is there. */
  const othersGoOn = async () => {
    const count = others.committedCount;
    await waitFor(async () => Number(await subscriber.sql("select count(*) from other")) > count + 3, {
      what: "the other table to go on",
    });
  };
  const heals = async (table: string, columns?: string[]) => {
    await waitFor(async () => (await job.states()).get(`public.${table}`) === "ok", {
      what: `${table} to be ok`,
      timeoutMs: 120_000,
    }).catch((error) => {
      throw new Error(`${error.message}\n${job.log.slice(-3000)}`);
    });
    await job.finished();
    const list = columns === undefined ? "*" : columns.join(", ");
    const rows = `select string_agg(t::text, E'\\n' order by id) from (select ${list} from ${table}) t`;
    expect(await subscriber.sql(rows)).toBe(await provider.sql(rows));
  };

  it("a column added on the subscriber first, then on the provider, stops nothing", async () => {
    await provider.sql("insert into grows values (2, 'two', 2)");
    await job.finished();
    await subscriber.sql("alter table grows add more text default 'd', add yet numeric");
    await provider.sql("insert into grows values (3, 'three', 3)");
    await provider.sql("alter table grows add more text default 'd', add yet numeric");
    await provider.sql("insert into grows values (4, 'four', 4, 'm', 1.5); update grows set more = null where id = 3");
    await heals("grows");
    expect(job.log).not.toMatch(/grows is paused/);
  });

  it("one added on the provider first pauses that table, which goes on by itself once it is there", async () => {
    await provider.sql("alter table early add extra text");
    await provider.sql("insert into early values (2, 'two', 2, 'x'); update early set extra = 'y' where id = 1");
    await paused("early", /no column "extra"/);
    await othersGoOn();
    expect(await job.run("subscriber", "tables", "conf.ini")).toMatch(
      /public\.early +catching-up +.*no column "extra"/,
    );
    await provider.sql("update early set w = w + 10; delete from early where id = 2");
    await subscriber.sql("alter table early add extra text");
    await heals("early");
    expect(await job.otherConsumers()).toEqual([]);
  });

  it("one dropped on the provider stops nothing; one dropped on the subscriber pauses the table", async () => {
    await provider.sql("alter table shrinks drop w");
    await provider.sql("insert into shrinks values (2, 'two')");
    await job.finished();
    expect(await subscriber.sql("select * from shrinks order by id")).toBe("1|one|1\n2|two|");
    await subscriber.sql("alter table shrinks drop v");
    await provider.sql("update shrinks set v = 'deux' where id = 2");
    await paused("shrinks", /no column "v"/);
    await subscriber.sql("alter table shrinks add v text");
    await waitFor(async () => (await job.states()).get("public.shrinks") === "ok", { what: "shrinks to be ok" });
    expect(await subscriber.sql("select id, v from shrinks order by id")).toBe("1|\n2|deux");
  });

  it("one that only the subscriber has, and that has to be filled, is named", async () => {
    await provider.sql("alter table needy drop w");
    await subscriber.sql("alter table needy alter w set not null");
    await provider.sql("insert into needy values (2, 'two')");
    await paused("needy", /null value in column "w".*the provider's table has no column "w"/);
    await othersGoOn();
    await subscriber.sql("alter table needy alter w set default 0");
    await heals("needy", ["id", "v"]);
  });

  it("a renamed column, and a renamed table, are named", async () => {
    await provider.sql("alter table renamed rename v to title; insert into renamed values (2, 'two', 2)");
    await paused("renamed", /no column "title"/);
    await subscriber.sql("alter table moved rename to away");
    await provider.sql("insert into moved values (2, 'two', 2)");
    await paused("moved", /no such table/);
    await othersGoOn();
    await subscriber.sql("alter table renamed rename v to title; alter table away rename to moved");
    await heals("renamed");
    await heals("moved");
  });

  it("a column of another type is named with both types; values that fit are taken", async () => {
    await provider.sql("alter table retyped alter w type text");
    await provider.sql("insert into retyped values (2, 'two', '2'), (3, 'three', 'III')");
    await paused("retyped", /column "w" is text on the provider, integer on the subscriber.*key \(id\)=\(3\).*"III"/);
    await othersGoOn();
    await subscriber.sql("alter table retyped alter w type text");
    await heals("retyped");
  });

  it("a column that is given another type on the subscriber keeps each value's own text from then on", async () => {
    await provider.sql("alter table recut alter w type text");
    await provider.sql("insert into recut values (2, 'two', '007')");
    await job.finished();
    await subscriber.sql("alter table recut alter w type text");
    // The statements prepared for the integer would still cut the zeros off.
    await provider.sql("insert into recut values (3, 'three', '007'); update recut set w = '0010' where id = 1");
    await job.finished();
    expect(await subscriber.sql("select id, w from recut order by id")).toBe("1|0010\n2|7\n3|007");
    expect(job.log).not.toMatch(/recut is paused/);
  });

  it("another key is followed", async () => {
    for (const db of [subscriber, provider]) {
      await db.sql(`update rekeyed set v = id::text;
        alter table rekeyed drop constraint rekeyed_pkey, add primary key (v)`);
    }
    await provider.sql("insert into rekeyed values (7, 'x', 1), (7, 'y', 2); update rekeyed set w = 9 where v = 'x'");
    await provider.sql("delete from rekeyed where v = '1'");
    await heals("rekeyed");
  });

  it("a right that was taken away pauses the table alone, whatever a row's policy", async () => {
    // A trigger stands for whatever the server refuses a table: the superuser of the test has every right.
    await subscriber.sql(`create function guard() returns trigger language plpgsql as
        $$ begin raise exception 'permission denied for table guarded' using errcode = '42501'; end $$;
      create trigger guard before insert on guarded for each row execute function guard();
      alter table guarded enable always trigger guard`);
    await provider.sql("insert into guarded values (2, 'two', 2)");
    await paused("guarded", /permission denied/);
    await othersGoOn();
    await subscriber.sql("drop trigger guard on guarded");
    await heals("guarded");
  });

  it("a pause that was killed half way is made by the next start", async () => {
    await subscriber.sql(gateSql({
      name: "pause",
      table: "londiste.table_info",
      condition: "old.merge_state = 'ok' and new.merge_state = 'catching-up'",
    }));
    {
      await using gate = await Gate.close(subscriber, "pause");
      await provider.sql("alter table moved add half integer; update moved set half = 1");
      await gate.reached();
      expect(await job.otherConsumers()).toEqual(["job.copy.public.moved"]);
      await job.killReplay();
      expect((await job.states()).get("public.moved")).toBe("ok");
    }
    job.startReplay();
    await paused("moved", /no column "half"/);
    await othersGoOn();
    await subscriber.sql("alter table moved add half integer");
    await heals("moved");
  });

  it("one that is paused can be copied anew instead: the queue keeps nothing for it any more", async () => {
    await provider.sql("alter table guarded add much text");
    await provider.sql("update guarded set much = 'm'");
    await paused("guarded", /no column "much"/);
    // Before it can catch up: a table that is being handed over is not copied anew.
    await job.run("subscriber", "resync", "conf.ini", "guarded");
    await subscriber.sql("alter table guarded add much text");
    await heals("guarded");
  });

  it("a pause outlives kill -9, and in the end all is equal and nothing is left behind", async () => {
    await provider.sql("alter table early add again integer");
    await provider.sql("update early set again = 5");
    await paused("early", /no column "again"/);
    await job.killReplay();
    await provider.sql("update early set again = 6");
    job.startReplay();
    await othersGoOn();
    expect((await job.states()).get("public.early")).toBe("catching-up");
    await subscriber.sql("alter table early add again integer");
    await heals("early");
    await others.stop();
    await job.caughtUp();
    expect(await job.differences("other", "grows", "early", "renamed", "retyped", "moved", "guarded")).toEqual([]);
    expect(await job.otherConsumers()).toEqual([]);
  });
});
