/** `provider check` and `subscriber check`: every difference that matters is named, and nothing is changed. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { Job } from "../job.ts";

const SAME = `
  create table fine (id integer primary key, v text not null);
  create table plain (id integer primary key, v text);
  create sequence counter;`;

/** Statement on one side, then what the check says; each undone before the next. */
const DIFFERENCES: {
  what: string;
  provider?: string;
  subscriber?: string;
  undo: string;
  level: "ERROR" | "WARNING";
  text: string | RegExp;
}[] = [
  {
    what: "a column that only the provider has",
    provider: "alter table plain add w text",
    undo: "alter table plain drop w",
    level: "ERROR",
    text: "public.plain: column w on provider not on subscriber",
  },
  {
    what: "a column that only the subscriber has",
    subscriber: "alter table plain add w text",
    undo: "alter table plain drop w",
    level: "WARNING",
    text: "table public.plain structure is not same: column w on subscriber not on provider, trying to continue",
  },
  {
    what: "a column's type",
    subscriber: "alter table plain alter v type varchar(10)",
    undo: "alter table plain alter v type text",
    level: "WARNING",
    text: "public.plain: column v is text on provider, character varying(10) on subscriber",
  },
  {
    what: "NOT NULL on the subscriber",
    subscriber: "alter table plain alter v set not null",
    undo: "alter table plain alter v drop not null",
    level: "WARNING",
    text: "public.plain: column v is NOT NULL on subscriber only: rows with NULL will be refused",
  },
  {
    what: "a column that is computed on the provider only",
    provider: "alter table plain add g integer generated always as (id + 1) stored",
    subscriber: "alter table plain add g integer",
    undo: "alter table plain drop g",
    level: "ERROR",
    text: "public.plain: column g is generated on provider only: the first copy would leave it empty",
  },
  {
    what: "a column that is computed on the subscriber only",
    provider: "alter table plain add g integer",
    subscriber: "alter table plain add g integer generated always as (id + 1) stored",
    undo: "alter table plain drop g",
    level: "WARNING",
    text: "public.plain: column g is generated on subscriber only: it does not get the provider's values",
  },
  {
    what: "identity",
    subscriber: "alter table plain alter id add generated always as identity",
    undo: "alter table plain alter id drop identity if exists",
    level: "WARNING",
    text: "public.plain: column id is no identity on provider, identity (always) on subscriber",
  },
  {
    what: "the key's columns",
    subscriber:
      "alter table plain drop constraint plain_pkey, alter v set not null, add constraint plain_pkey primary key (v)",
    undo:
      "alter table plain drop constraint plain_pkey, add constraint plain_pkey primary key (id), alter v drop not null",
    level: "ERROR",
    text: "public.plain: pk different on column id",
  },
  {
    what: "no key on the subscriber",
    subscriber: "alter table plain drop constraint plain_pkey",
    undo: "alter table plain drop constraint if exists plain_pkey, add constraint plain_pkey primary key (id)",
    level: "ERROR",
    text: "subscriber table public.plain has no primary key",
  },
  {
    what: "something unique on the subscriber only",
    subscriber: "create unique index plain_low on plain (lower(v), id) where v <> ''",
    undo: "drop index if exists plain_low",
    level: "WARNING",
    text: /unique \(lower\(v\), id\) WHERE v <> ''::text on subscriber only: rows may be refused/,
  },
  {
    what: "a check on the subscriber only",
    subscriber: "alter table plain add constraint short check (length(v) < 5)",
    undo: "alter table plain drop constraint if exists short",
    level: "WARNING",
    text: /constraint CHECK \(length\(v\) < 5\) on subscriber only/,
  },
  {
    what: "a key column whose equal values differ by byte on one side",
    provider:
      "alter table plain drop constraint plain_pkey, alter v set not null, add constraint plain_pkey primary key (v)",
    subscriber:
      "alter table plain drop constraint plain_pkey, alter v set not null, alter v type text collate nocase, add constraint plain_pkey primary key (v)",
    undo:
      'alter table plain drop constraint plain_pkey, alter v type text collate "default", add constraint plain_pkey primary key (id), alter v drop not null',
    level: "ERROR",
    text: /keys in column v are the same only when equal byte by byte on provider, the same even if not/,
  },
  {
    what: "a label of an enum that the subscriber lacks",
    provider: "create type mood as enum ('sad', 'it''s'); alter table plain add m mood",
    subscriber: "create type mood as enum ('sad'); alter table plain add m mood",
    undo: "alter table plain drop m; drop type mood",
    level: "WARNING",
    text: "public.plain: column m: type mood of the subscriber does not know 'it's'",
  },
  {
    what: "a trigger that fires for replayed rows",
    subscriber: `create function noop() returns trigger language plpgsql as 'begin return null; end';
      create trigger always_on after insert on plain execute function noop();
      alter table plain enable always trigger always_on`,
    undo: "drop trigger if exists always_on on plain; drop function if exists noop()",
    level: "WARNING",
    text: "public.plain: trigger always_on of the subscriber fires for replayed rows too",
  },
  {
    what: "an unlogged table",
    subscriber: "alter table plain set unlogged",
    undo: "alter table plain set logged",
    level: "WARNING",
    text: /subscriber table public\.plain is unlogged/,
  },
  {
    what: "a table that is missing",
    subscriber: "alter table plain rename to other",
    undo: "alter table if exists other rename to plain",
    level: "ERROR",
    text: "Table public.plain missing from subscriber side",
  },
];

/** As above, on the provider alone. */
const CAPTURES: { what: string; sql: string; undo: string; level: "ERROR" | "WARNING"; text: string | RegExp }[] = [
  {
    what: "a trigger that was dropped",
    sql: "drop trigger _londiste_q on plain",
    undo: "",
    level: "ERROR",
    text: "public.plain: capture on the provider: trigger is gone",
  },
  {
    what: "a trigger that was disabled",
    sql: "alter table plain disable trigger _londiste_q",
    undo: "alter table plain enable trigger _londiste_q",
    level: "ERROR",
    text: "public.plain: capture on the provider: trigger is disabled",
  },
  {
    what: "a column that was added since",
    sql: "alter table plain add w text",
    undo: "alter table plain drop w",
    level: "WARNING",
    text: /columns or key have changed; it logs slowly/,
  },
  {
    what: "a key that was dropped",
    sql: "alter table plain drop constraint plain_pkey",
    undo: "alter table plain add constraint plain_pkey primary key (id)",
    level: "ERROR",
    text: "Table public.plain has no primary key",
  },
  {
    what: "a key that may be violated until the transaction's end",
    sql: "alter table plain drop constraint plain_pkey, add constraint plain_pkey primary key (id) deferrable",
    undo: "alter table plain drop constraint plain_pkey, add constraint plain_pkey primary key (id)",
    level: "ERROR",
    text:
      "Table public.plain has a deferrable primary key: while two rows have one key nothing tells which of them a " +
      "change means",
  },
  {
    what: "a trigger that runs before",
    sql: `create function before_us() returns trigger language plpgsql as 'begin return null; end';
      create trigger "A_first" after insert on plain for each row execute function before_us()`,
    undo: `drop trigger "A_first" on plain; drop function before_us()`,
    level: "WARNING",
    text: "Table public.plain has AFTER trigger 'A_first' which runs before Londiste trigger. If it modifies data, " +
      "then events will appear in queue in wrong order.",
  },
  {
    what: "an unlogged table",
    sql: "alter table plain set unlogged",
    undo: "alter table plain set logged",
    level: "WARNING",
    text: /Table public\.plain is unlogged/,
  },
  {
    what: "a table that is gone",
    sql: "create table kept (like plain including all); drop table plain",
    undo: "alter table kept rename to plain; alter index kept_pkey rename to plain_pkey",
    level: "ERROR",
    text: "public.plain: capture on the provider: table is gone",
  },
  {
    what: "a sequence that is gone",
    sql: "drop sequence counter",
    undo: "create sequence counter",
    level: "ERROR",
    text: "Seq public.counter is gone from the provider",
  },
];

describe("check", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber });
    await provider.sql(SAME);
    await subscriber.sql(
      SAME + "create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    );
    await job.install();
    await job.add("fine", "plain");
    for (const side of ["provider", "subscriber"]) await job.run(side, "add-seq", "conf.ini", "counter");
  });

  afterAll(async () => await job?.[Symbol.asyncDispose]());

  /** Runs a check. @returns its findings, and the exit status */
  async function check(side: "provider" | "subscriber", ...names: string[]) {
    const { code, stdout, stderr } = await job.try(side, "check", "conf.ini", ...names, "--json");
    const found = stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line)) as {
      table: string;
      level: string;
      text: string;
    }[];
    for (const { level, text } of found) expect(stderr).toContain(`${level} ${text}`);
    // An unknown name is a mistake of the operator's, not a difference.
    const isUnknown = found.some(({ text }) => text.startsWith("No registered table matches"));
    expect(code).toBe(isUnknown ? 1 : found.some(({ level }) => level === "ERROR") ? 3 : 0);
    return found;
  }

  it("two sides that are the same have nothing to say", async () => {
    expect(await check("provider")).toEqual([]);
    expect(await check("subscriber")).toEqual([]);
  });

  for (const { what, provider: here, subscriber: there, undo, level, text } of DIFFERENCES) {
    it(`subscriber check: ${what}`, async () => {
      if (here !== undefined) await provider.sql(here);
      if (there !== undefined) await subscriber.sql(there);
      const found = await check("subscriber", "plain");
      expect(found.map((finding) => `${finding.table} ${finding.level} ${finding.text}`)).toContainEqual(
        typeof text === "string"
          ? `public.plain ${level} ${text}`
          : expect.stringMatching(new RegExp(`^public\\.plain ${level} .*${text.source}`)),
      );
      if (here !== undefined) await provider.sql(undo);
      if (there !== undefined) await subscriber.sql(undo);
      // What the provider's table went through has to be written into its capture.
      await job.run("provider", "add", "conf.ini", "plain");
    });
  }

  it("all is well again", async () => {
    await provider.sql("select skyq.refresh_capture('q', 'public.plain')");
    expect(await check("subscriber")).toEqual([]);
  });

  for (const { what, sql, undo, level, text } of CAPTURES) {
    it(`provider check: ${what}`, async () => {
      await provider.sql(sql);
      const found = await check("provider");
      expect(found.map((finding) => `${finding.level} ${finding.text}`)).toContainEqual(
        typeof text === "string" ? `${level} ${text}` : expect.stringMatching(new RegExp(`^${level} .*${text.source}`)),
      );
      expect(found.filter((finding) => finding.table === "public.fine")).toEqual([]);
      if (undo !== "") await provider.sql(undo);
      await provider.sql("select skyq.create_capture('q', 'public.plain', '{}', 'auto')");
    });
  }

  it("names that stand for nothing", async () => {
    expect(await check("provider", "nowhere")).toEqual([
      { table: "nowhere", level: "ERROR", text: "No registered table matches nowhere" },
    ]);
    expect(await check("subscriber", "fi*", "nowhere")).toEqual([
      { table: "nowhere", level: "ERROR", text: "No registered table matches nowhere" },
    ]);
  });
});
