/** The manual's provider commands: each line, each error, its text and its status. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import postgres from "postgres";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { Job } from "../job.ts";
import { testLines } from "./lines.ts";

describe("provider commands", () => {
  let job: Job;
  let provider: LentDatabase;
  let other: postgres.Sql;

  beforeAll(async () => {
    const [first, subscriber] = await lendDatabases(2);
    provider = first;
    job = new Job({ provider, subscriber, settings: { lock_timeout: "0.3" } });
    await provider.sql(`
      create schema app; create schema "dot.ted";
      create table a (id integer primary key); create table b (id integer primary key);
      create table app.c (id integer primary key); create table app.d1 (id integer primary key);
      create table app.d2 (id integer primary key); create table keyless (id integer);
      create table later (id integer primary key deferrable);
      create table "dot.ted".t (id integer primary key); create sequence "dot.ted".s;
      create table "Ta.ble, ""x""" (id integer primary key);
      create table parts (id integer primary key) partition by list (id);
      create table part_1 partition of parts for values in (1);
      create table busy (id integer primary key);
      create table watched (id integer primary key);
      create function watch() returns trigger language plpgsql as 'begin return null; end';
      create trigger "Before all" after insert on watched for each row execute function watch();
      create sequence s1; create sequence app.s2;`);
    const { host, port, superuser: user } = provider.cluster;
    other = postgres({ host, port, user, database: provider.name, max: 1, onnotice: () => {} });
  });
  afterAll(async () => {
    await other?.end();
    await job?.[Symbol.asyncDispose]();
  });

  const removals = async () =>
    Number(await provider.sql("select count(*) from pgq.event_template where ev_type = 'londiste.remove-table'"));
  let removalsBefore = 0;
  const noteRemovals = async () => removalsBefore = await removals();
  /** How many removals were told to the subscribers by one line. */
  const expectRemovals = (count: number) => async () => expect(await removals() - removalsBefore).toBe(count);

  describe("before the install", () => {
    testLines(() => job, [
      ...[
        "provider tables conf.ini",
        "provider seqs conf.ini",
        "provider add conf.ini a",
        "provider remove conf.ini a",
        "provider add-seq conf.ini s1",
        "provider remove-seq conf.ini s1",
        "provider check conf.ini",
      ].map((type) => ({
        type,
        code: 1,
        says: ["ERROR Event queue does not exist yet", "hint: Run `skyq provider install"],
      })),
    ]);
  });

  describe("install", () => {
    testLines(() => job, [
      {
        type: "provider install conf.ini",
        says: [
          "INFO Installing pgq\n",
          "INFO Installing pgq_node",
          "INFO Installing londiste",
          "INFO Installing skyq",
          'INFO Node "q_root" initialized for queue "q" with type "root"',
        ],
      },
      {
        type: "provider install conf.ini",
        when: "again",
        says: ["INFO pgq is installed", "Node is already initialized as root"],
      },
      { type: "provider tables conf.ini", out: "" },
      { type: "provider seqs conf.ini", out: "" },
    ]);
  });

  describe("add", () => {
    testLines(() => job, [
      { type: "provider add conf.ini", code: 2, says: ["No table was named", "hint: Name tables, or give --all."] },
      { type: "provider add conf.ini a app.c", says: ["INFO Adding public.a\n", "INFO Adding app.c\n"] },
      {
        type: "provider add conf.ini a",
        when: "again",
        says: ["INFO Table public.a already added"],
        saysNot: ["Adding"],
      },
      { type: "provider add conf.ini nowhere", code: 1, says: ["ERROR No table matches nowhere"] },
      { type: "provider add conf.ini b nowhere", code: 1, says: ["No table matches nowhere"], saysNot: ["Adding"] },
      { type: "provider add conf.ini nosuch*", code: 1, says: ["ERROR No table matches nosuch*"] },
      { type: "provider add conf.ini keyless", code: 1, says: ["ERROR Table public.keyless has no primary key"] },
      { type: "provider add conf.ini later", code: 1, says: ["ERROR Table public.later has a deferrable primary key"] },
      {
        type: "provider add conf.ini parts",
        code: 1,
        says: ["ERROR Table public.parts is partitioned: add its partitions instead"],
      },
      { type: "provider add conf.ini 'app.d?'", says: ["Adding app.d1", "Adding app.d2"] },
      {
        type: `provider add conf.ini 'Ta.ble, "x"'`,
        when: "the first dot ends the schema",
        code: 1,
        says: ["No table matches Ta.ble"],
      },
      { type: `provider add conf.ini 'public.Ta.ble, "x"'`, says: [`Adding public.Ta.ble, "x"`] },
      { type: `provider add conf.ini '"Ta.ble, ""x"""'`, says: ["already added"] },
      {
        type: "provider add conf.ini dot.ted.t",
        code: 1,
        says: ["WARNING Cannot add table dot.ted.t: its schema's name has a dot"],
      },
      {
        type: "provider add conf.ini watched",
        says: [
          "WARNING Table public.watched has AFTER trigger 'Before all' which runs before Londiste trigger. If it " +
          "modifies data, then events will appear in queue in wrong order.",
        ],
      },
      {
        type: "provider add conf.ini busy",
        when: "somebody holds a lock",
        before: () => other.unsafe("begin; lock table busy in row exclusive mode"),
        after: () => other.unsafe("rollback"),
        code: 5,
        says: [
          /ERROR Cannot add table public\.busy: table public\.busy is in use by process \d+ .*begin; lock table busy/,
        ],
      },
      {
        type: "provider tables conf.ini",
        when: "in the order of registration, nothing half-made",
        out: 'public.a\napp.c\napp.d1\napp.d2\npublic.Ta.ble, "x"\npublic.watched\n',
      },
      {
        type: "provider add conf.ini --all",
        code: 1,
        says: [
          "Adding public.b\n",
          "Adding public.busy",
          "Adding public.part_1",
          "Table public.parts is partitioned: its partitions",
          "WARNING Table public.keyless has no primary key; passed over",
          "WARNING Cannot add table dot.ted.t",
        ],
        saysNot: ["already added", "ERROR"],
      },
      { type: "provider tables conf.ini --json", out: /^\{"table":"public\.a"\}\n/ },
    ]);
  });

  describe("remove", () => {
    testLines(() => job, [
      { type: "provider remove conf.ini", code: 2, says: ["No table was named"] },
      {
        type: "provider remove conf.ini nowhere a",
        before: noteRemovals,
        code: 1,
        says: ["ERROR No registered table matches nowhere"],
        saysNot: ["Removing"],
        after: expectRemovals(0),
      },
      {
        type: "provider remove conf.ini a",
        before: noteRemovals,
        says: ["INFO Removing public.a"],
        after: expectRemovals(1),
      },
      {
        type: "provider remove conf.ini 'app.d*' b",
        says: ["Removing app.d1", "Removing app.d2", "Removing public.b"],
      },
      { type: "provider remove conf.ini --all", says: ["Removing app.c", "Removing public.busy"] },
      { type: "provider tables conf.ini" },
    ]);

    it("leaves no trigger and no function behind", async () => {
      expect((await provider.sql("select tgname from pg_trigger where tgname like '%londiste%'")).trim()).toBe("");
      expect((await provider.sql("select proname from pg_proc where proname like 'capture\\_%'")).trim()).toBe("");
    });
  });

  describe("sequences", () => {
    testLines(() => job, [
      { type: "provider add-seq conf.ini", code: 2, says: ["No sequence was named"] },
      { type: "provider add-seq conf.ini s1", says: ["INFO Adding sequence public.s1\n"] },
      { type: "provider add-seq conf.ini s1", when: "again", says: ["INFO Seq public.s1 already subscribed"] },
      {
        type: "provider add-seq conf.ini nowhere",
        code: 1,
        says: ["ERROR seq not found: no sequence matches nowhere"],
      },
      {
        type: "provider add-seq conf.ini --all",
        code: 1,
        says: ["Adding sequence app.s2", "WARNING Cannot add sequence dot.ted.s"],
      },
      { type: "provider seqs conf.ini", out: "public.s1\napp.s2\n" },
      { type: "provider seqs conf.ini --json", out: /^\{"sequence":"public\.s1","published":30001\}\n/ },
      { type: "provider remove-seq conf.ini", code: 2, says: ["No sequence was named"] },
      {
        type: "provider remove-seq conf.ini nowhere",
        code: 1,
        says: ["ERROR seq not attached: no registered sequence matches nowhere"],
      },
      { type: "provider remove-seq conf.ini app.s2", says: ["INFO Removing sequence: app.s2"] },
      { type: "provider remove-seq conf.ini --all", says: ["Removing sequence: public.s1"] },
      { type: "provider seqs conf.ini" },
    ]);
  });

  it("an install that may not make schemas makes nothing", async () => {
    const [fresh] = await lendDatabases(1);
    await fresh.cluster.sql("postgres", `create role nobody_${provider.name} login`);
    try {
      const { code, stderr } = await job.try(
        "provider",
        "install",
        "conf.ini",
        "--set",
        `provider_db=${fresh.dsn(`nobody_${provider.name}`)}`,
      );
      expect(code).toBe(1);
      expect(stderr).toMatch(/may not create in .*\n.*GRANT CREATE ON DATABASE/);
      expect(
        (await fresh.sql("select nspname from pg_namespace where nspname in ('pgq', 'pgq_node', 'londiste', 'skyq')"))
          .trim(),
      )
        .toBe("");
    } finally {
      await fresh.cluster.sql("postgres", `drop role nobody_${provider.name}`);
    }
  });
});
