import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { type Logger, silentLog } from "../../../src/base/log.ts";
import { installSchemas } from "../../../src/db/install.ts";
import type { Queryable } from "../../../src/db/queryable.ts";
import { openSql, type SqlConnection } from "../../../src/db/sql.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { SCHEMAS, type SqlSchema } from "../../../sql/mod.ts";
import { Cluster } from "../../harness/cluster.ts";

/** A schema as small as can be. */
function shelf(changes: Partial<SqlSchema> = {}): SqlSchema {
  return {
    name: "shelf",
    tables: "create table shelf.book (id integer); create index book_id_idx on shelf.book (id);",
    functions: ["create or replace function shelf.version() returns text language sql as $$ select '1' $$"],
    grants: "grant usage on schema shelf to public",
    migrations: [],
    landmark: "shelf.book",
    extension: "shelf",
    ...changes,
  };
}

function lines(): { log: Logger; info: string[] } {
  const info: string[] = [];
  return { log: { ...silentLog, info: (message) => void info.push(message) }, info };
}

describe("installSchemas()", () => {
  let cluster: Cluster;
  const open = new Set<SqlConnection>();
  let databaseCount = 0;

  beforeAll(async () => {
    cluster = await Cluster.start({ name: "install" });
    await cluster.sql(
      "postgres",
      `create role maker login createrole; create role plain login; create role stranger login;`,
    );
  });
  afterAll(async () => {
    for (const session of open) await session.close();
    await cluster[Symbol.asyncDispose]();
  });

  async function connect(database: string, user?: string): Promise<SqlConnection> {
    const session = await openSql(parseTarget(cluster.dsn(database, user)));
    open.add(session);
    return session;
  }

  async function freshDatabase(creators: string[] = []): Promise<string> {
    const name = `d${++databaseCount}`;
    await cluster.createDatabase(name);
    for (const role of creators) await cluster.sql("postgres", `grant create on database ${name} to ${role}`);
    return name;
  }

  const schemaNames = async (db: Queryable) =>
    (await db.query("select nspname from pg_namespace where nspname !~ '^pg_|^information|^public' order by 1"))
      .map((row) => row.nspname);

  const failure = (promise: Promise<unknown>) => promise.then(() => null, (error) => error as SkyqError);

  it("as a role without CREATEROLE goes on without the roles, and the owner can use the queues", async () => {
    const database = await freshDatabase(["plain"]);
    const db = await connect(database, "plain");
    const { log, info } = lines();
    const report = await installSchemas(db, { log });
    expect(report.missingRoles).toEqual(["pgq_reader", "pgq_writer", "pgq_admin"]);
    expect(info.at(-1)).toMatch(/^Roles pgq_reader, pgq_writer, pgq_admin are not made/);

    await db.query("select pgq.create_queue('q')");
    await db.query("select pgq.register_consumer('q', 'c')");
    await db.query("select pgq.insert_event('q', 't', 'd')");
    await db.query("update pgq.queue set queue_ticker_max_lag = '0'");
    await db.query("select pgq.ticker()");
    await db.query("select pgq.next_batch('q', 'c')");
    expect((await db.query("select ev_data from pgq.get_batch_events(1)")).length).toBe(1);
    await db.query("select pgq.maint_rotate_tables_step1('q'), pgq.maint_retry_events()");
    const { pgq } = Object.fromEntries(report.schemas.map(({ name, state }) => [name, state]));
    expect(pgq).toBe("installed");
  });

  it("as a role with CREATEROLE makes the roles; says what it does; does it again without harm", async () => {
    const database = await freshDatabase(["maker"]);
    const db = await connect(database, "maker");
    const first = lines();
    const report = await installSchemas(db, { log: first.log });
    expect(report.missingRoles).toEqual([]);
    expect(first.info).toEqual(SCHEMAS.map(({ name }) => `Installing ${name}`));
    expect(SCHEMAS.map(({ name }) => name)).toEqual(["pgq", "pgq_node", "londiste", "skyq"]);
    expect(await db.query("select 1 from pg_roles where rolname ~ '^pgq_'")).toHaveLength(3);

    const before = await catalogue(db);
    const second = lines();
    const again = await installSchemas(db, { log: second.log });
    expect(second.info).toEqual(SCHEMAS.map(({ name }) => `${name} is installed`));
    expect(again.schemas.map(({ state }) => state)).toEqual(SCHEMAS.map(() => "updated"));
    expect(await catalogue(db)).toEqual(before);
  });

  /** Functions, tables and grants of all schemas, as text. */
  async function catalogue(db: Queryable): Promise<unknown> {
    return await db.query(
      `select p.oid::regprocedure::text as name, p.prosrc as text, p.proacl::text as acl from pg_proc p
        where p.pronamespace in (select oid from pg_namespace where nspname ~ '^(pgq|pgq_node|londiste|skyq)$')
       union all
       select c.oid::regclass::text, c.relkind::text, c.relacl::text from pg_class c
        where c.relnamespace in (select oid from pg_namespace where nspname ~ '^(pgq|pgq_node|londiste|skyq)$')
        order by 1, 2`,
    );
  }

  it("replaces functions that were changed", async () => {
    const db = await connect(await freshDatabase());
    await installSchemas(db, { log: silentLog, schemas: [shelf()] });
    await db.query("create or replace function shelf.version() returns text language sql as $$ select 'bad' $$");
    await installSchemas(db, { log: silentLog, schemas: [shelf()] });
    expect(await db.query("select shelf.version()")).toEqual([{ version: "1" }]);
  });

  it("runs migrations once on an old database, never on a fresh one", async () => {
    const migrations = [
      { id: 1, sql: "alter table shelf.book add title text" },
      { id: 2, sql: "alter table shelf.book add author text; update shelf.book set title = 'x'" },
    ];
    const newest = shelf({ tables: "create table shelf.book (id integer, title text, author text)", migrations });
    const old = await connect(await freshDatabase());
    await installSchemas(old, { log: silentLog, schemas: [shelf()] });
    await old.query("insert into shelf.book values (1)");
    const first = await installSchemas(old, {
      log: silentLog,
      schemas: [shelf({ migrations: migrations.slice(0, 1) })],
    });
    const second = await installSchemas(old, { log: silentLog, schemas: [newest] });
    const third = await installSchemas(old, { log: silentLog, schemas: [newest] });
    expect([first, second, third].map((report) => report.schemas[0]!.migrations)).toEqual([1, 1, 0]);
    expect(await old.query("select * from shelf.book")).toEqual([{ id: 1, title: "x", author: null }]);

    const fresh = await connect(await freshDatabase());
    await installSchemas(fresh, { log: silentLog, schemas: [newest] });
    await installSchemas(fresh, { log: silentLog, schemas: [newest] });
    const ids = await fresh.query("select id from skyq.migration where schema_name = 'shelf' order by 1");
    expect(ids).toEqual([{ id: 0 }, { id: 1 }, { id: 2 }]);
  });

  it("leaves nothing behind when a statement fails", async () => {
    const db = await connect(await freshDatabase());
    const broken = shelf({ functions: ["create function shelf.f() returns nosuchtype language sql as $$ $$"] });
    const error = await failure(installSchemas(db, { log: silentLog, schemas: [...SCHEMAS, broken] }));
    expect(error).toBeInstanceOf(SkyqError);
    expect(error!.message).toMatch(/nosuchtype/);
    expect(await schemaNames(db)).toEqual([]);
    await installSchemas(db, { log: silentLog, schemas: [shelf()] }); // the session is usable
    expect(await schemaNames(db)).toEqual(["shelf", "skyq"]);
  });

  it("two installers at the same time end with one installation", async () => {
    const database = await freshDatabase();
    const sessions = await Promise.all([1, 2, 3].map(() => connect(database)));
    const reports = await Promise.all(sessions.map((db) => installSchemas(db, { log: silentLog })));
    const states = reports.map((report) => report.schemas[0]!.state).toSorted();
    expect(states).toEqual(["installed", "updated", "updated"]);
  });

  it("tells a role without CREATE on the database what to ask for", async () => {
    const database = await freshDatabase();
    const db = await connect(database, "stranger");
    const error = await failure(installSchemas(db, { log: silentLog }));
    expect(error).toMatchObject({
      fault: "privilege",
      message: `Cannot create schema "pgq": role stranger may not create in ${database}`,
      hint: `Let the database's owner run: GRANT CREATE ON DATABASE ${database} TO stranger;`,
    });
    expect(await schemaNames(db)).toEqual([]);
  });

  it("leaves schemas that belong to another role as they are", async () => {
    const database = await freshDatabase(["plain"]);
    await installSchemas(await connect(database, "plain"), { log: silentLog });
    const { log, info } = lines();
    const report = await installSchemas(await connect(database, "stranger"), { log });
    expect(report.schemas.map(({ state }) => state)).toEqual(SCHEMAS.map(() => "kept"));
    expect(info[0]).toBe('pgq is installed (owned by "plain", left as it is)');
  });

  it("uses an extension that is there, and installs the rest", async () => {
    const db = await connect(await freshDatabase());
    await db.query("create schema shelf");
    await db.query("create table shelf.book (id text)");
    await db.query("set allow_system_table_mods = on");
    await db.query(
      `insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
       values (70000, 'shelf', 10, 'shelf'::regnamespace, false, '3.5')`,
    );
    const { log, info } = lines();
    const desk = shelf({
      name: "desk",
      tables: "",
      functions: [],
      grants: "",
      landmark: undefined,
      extension: undefined,
    });
    const report = await installSchemas(db, { log, schemas: [shelf(), desk] });
    expect(report.schemas.map(({ state }) => state)).toEqual(["foreign", "installed"]);
    expect(info).toEqual(["shelf is installed (extension, left as it is)", "Installing desk"]);
    expect(await db.query("select 1 from pg_proc where pronamespace = 'shelf'::regnamespace")).toEqual([]);
  });

  it("uses what somebody else installed by hand", async () => {
    const db = await connect(await freshDatabase());
    await installSchemas(db, { log: silentLog, schemas: SCHEMAS.slice(0, 1) });
    await db.query("drop schema skyq cascade"); // from now on nobody knows that pgq is ours
    const { log, info } = lines();
    const report = await installSchemas(db, { log, schemas: SCHEMAS.slice(0, 1) });
    expect(report.schemas).toEqual([{ name: "pgq", state: "foreign", migrations: 0 }]);
    expect(info).toEqual(["pgq is installed (not by skyq, left as it is)"]);
  });

  it("refuses half of what somebody else installed, and leaves it as it is", async () => {
    const db = await connect(await freshDatabase());
    await db.query("create schema pgq");
    await db.query("create table pgq.queue (queue_id integer)");
    expect(await failure(installSchemas(db, { log: silentLog }))).toMatchObject({
      fault: "not-installed",
      message: expect.stringContaining(
        "schema pgq lacks pgq.consumer, pgq.event_template, pgq.retry_queue and 13 more",
      ),
    });
    expect(await db.query("select 1 from pg_namespace where nspname in ('skyq', 'pgq_node')")).toEqual([]);
  });

  it("beside somebody else's pgq, tells which rights are missing, then makes do with them", async () => {
    const database = await freshDatabase(["stranger"]);
    const owner = await connect(database);
    await installSchemas(owner, { log: silentLog, schemas: SCHEMAS.slice(0, 1) });
    await owner.query("drop schema skyq cascade"); // from now on nobody knows that pgq is ours
    const db = await connect(database, "stranger");
    const schemas = SCHEMAS.slice(0, 2);
    expect(await failure(installSchemas(db, { log: silentLog, schemas }))).toMatchObject({
      fault: "privilege",
      hint: 'Let "postgres" run: GRANT pgq_admin TO stranger; GRANT REFERENCES ON pgq.consumer TO stranger;',
    });
    await owner.query("grant pgq_admin to stranger");
    await owner.query("grant references on pgq.consumer to stranger");
    const report = await installSchemas(db, { log: silentLog, schemas });
    expect(report.schemas.map(({ state }) => state)).toEqual(["foreign", "installed"]);
    await owner.query("revoke pgq_admin from stranger");
  });

  it("refuses a server that is too old", async () => {
    const asked: string[] = [];
    const old: Queryable = {
      query: (text) => {
        asked.push(text);
        // deno-lint-ignore no-explicit-any
        return Promise.resolve([{ number: 120022, text: "12.22" }] as any);
      },
    };
    const error = await failure(installSchemas(old, { log: silentLog }));
    expect(error).toMatchObject({
      fault: "refused",
      message: "Cannot install skyq: the server is PostgreSQL 12.22",
      hint: "PostgreSQL 13 or newer is needed.",
    });
    expect(asked).toHaveLength(1);
  });
});
