import { afterAll, describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { type Logger, silentLog } from "../../../src/base/log.ts";
import { type Locker, withLocks } from "../../../src/db/locks.ts";
import { openSql, type SqlConnection } from "../../../src/db/sql.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { SCHEMAS } from "../../../sql/mod.ts";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";

const open: SqlConnection[] = [];

async function connect(database: LentDatabase, settings: Record<string, string> = {}): Promise<SqlConnection> {
  const session = await openSql(parseTarget(database.dsn()), { settings });
  open.push(session);
  return session;
}

/** One who looks for deadlocks at once, and so becomes the victim of each. */
const VICTIM = { deadlock_timeout: "1ms" };

async function tables(): Promise<{ database: LentDatabase; ours: SqlConnection; theirs: SqlConnection }> {
  const [database] = await lendDatabases(1);
  await database.sql('create table a (id int); create table b (id int); create table "c \'" (id int)');
  return { database, ours: await connect(database, { lock_timeout: "20s" }), theirs: await connect(database, VICTIM) };
}

function lockBoth(ours: SqlConnection, options: { limitMs?: number; log?: Logger } = {}): Promise<void> {
  return withLocks(
    { act: "Cannot mend a and b", log: silentLog, ...options },
    (lock: Locker) =>
      ours.transaction(async (tx) => {
        await lock(tx, ["public.a", "public.b"], "access exclusive");
        await tx.exec("insert into a values (0); insert into b values (0)");
      }),
  );
}

const isWaiting = async (database: LentDatabase) =>
  (await database.sql("select count(*) from pg_locks where not granted")).trim() !== "0";

afterAll(async () => {
  for (const session of open) await session.close();
});

describe("withLocks()", () => {
  it("never lets another transaction become a deadlock's victim", async () => {
    const { ours, theirs } = await tables();
    await theirs.exec("begin; lock table b in row exclusive mode");
    const done = lockBoth(ours);
    // Whatever we are doing at these moments, they get the other table, and wait for it with ours in the way at worst.
    for (let round = 0; round < 20; round++) {
      await theirs.exec("savepoint s; lock table a in row exclusive mode; rollback to savepoint s");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await theirs.exec("insert into a values (1); insert into b values (1); commit");
    await done;
    expect(await ours.query("select (select sum(id) from a)::int4 as a, (select sum(id) from b)::int4 as b")).toEqual([
      { a: 1, b: 1 },
    ]);
  });

  it("lets others pass who come after it, while it cannot have its lock", async () => {
    const { database, ours, theirs } = await tables();
    const holder = await connect(database);
    await holder.exec("begin; lock table a in row exclusive mode");
    const done = lockBoth(ours);
    await waitFor(() => isWaiting(database), { what: "us to stand in the queue" });
    // Would stand behind us until the holder's end.
    await theirs.exec("insert into a values (1)");
    await holder.exec("commit");
    await done;
  });

  it("says after its limit who holds the lock, and has changed nothing", async () => {
    const { ours, theirs } = await tables();
    await theirs.exec("set application_name = 'nightly \"report\"'; begin; insert into b values (7)");
    const said: string[] = [];
    const log = { ...silentLog, info: (message: string) => void said.push(message) };
    const error = await lockBoth(ours, { limitMs: 300, log }).then(() => null, (error) => error as SkyqError);
    expect(error).toMatchObject({ fault: "lock-timeout", exit: 5, facts: { table: "public.b" } });
    expect(error!.message).toMatch(
      new RegExp(
        `^Cannot mend a and b: table public\\.b is in use by process ${theirs.processId} \\(role "postgres", application ` +
          `"nightly "report"", idle in transaction, begun .+\\): "set application_name .*insert into b values \\(7\\)" ` +
          "\\(not obtained in [1-9]\\d* tries, .* s\\)$",
      ),
    );
    expect(error!.hint).toMatch(`pg_terminate_backend(${theirs.processId})`);
    expect(said).toEqual([
      expect.stringMatching(/^Cannot mend a and b yet: table public.b is in use by .*; trying again$/),
    ]);
    await theirs.exec("commit");
    expect((await ours.query("select id from b")).map((row) => row.id)).toEqual([7]);
  });

  it("keeps the session's lock_timeout and waits for nothing with a lock in hand", async () => {
    const { ours, theirs } = await tables();
    const seen = await withLocks({ act: "x", log: silentLog }, (lock) =>
      ours.transaction(async (tx) => {
        await lock(tx, ["a"], "share row exclusive");
        await lock(tx, [`"c '"`], "access exclusive");
        return (await tx.query("select current_setting('lock_timeout') as t"))[0]!.t;
      }));
    expect(seen).toBe("20s");
    await theirs.exec("begin; lock table b in access share mode");
    const error = await withLocks({ act: "x", log: silentLog, limitMs: 100 }, (lock) =>
      ours.transaction(async (tx) => {
        await lock(tx, ["a"], "access exclusive");
        // Would be cancelled if it came to wait.
        await tx.exec("set local statement_timeout = '1s'");
        await lock(tx, ["b"], "access exclusive");
      })).catch((error) => error);
    expect(error).toMatchObject({ fault: "lock-timeout", sqlstate: "55P03", facts: { table: "b" } });
    await theirs.exec("commit");
  });

  it("leaves a table that the role may not lock to the statement that changes it, which waits no longer", async () => {
    const { database, theirs } = await tables();
    await database.sql(
      "do $$ begin create role locks_plain login; exception when duplicate_object or unique_violation then null; end $$; " +
        "grant select, trigger on a to locks_plain; create function f() returns trigger language plpgsql as 'begin return null; end'",
    );
    const plain = await openSql(parseTarget(database.dsn("locks_plain")), { settings: { lock_timeout: "20s" } });
    open.push(plain);
    await theirs.exec("begin; insert into a values (1)");
    const done = withLocks(
      { act: "Cannot capture a", log: silentLog, limitMs: 20_000 },
      (lock) =>
        plain.transaction(async (tx) => {
          await lock(tx, ["a"], "share row exclusive");
          await tx.exec("create trigger t after insert on a for each row execute function f()");
        }),
    );
    await waitFor(() => isWaiting(database), { what: "the statement to stand in the queue" });
    await database.sql("insert into a values (2)"); // who stood behind it gets through before they commit
    await theirs.exec("commit");
    await done;
    expect((await database.sql("select tgname from pg_trigger where tgrelid = 'a'::regclass")).trim()).toBe("t");
  });

  it("takes any name, also one that looks like the end of what is quoted", async () => {
    const { database, ours } = await tables();
    const names = ["x$skyq_lock$; drop table a; --", "$$", "a'b\\", "\\'; drop table a; --", 'q"q'];
    for (const name of names) {
      const quoted = `"${name.replaceAll('"', '""')}"`;
      await database.sql(`create table ${quoted} (id int)`);
      const act = { act: "Cannot lock it", log: silentLog };
      const held = await withLocks(act, (lock) =>
        ours.transaction(async (tx) => {
          await lock(tx, [`public.${quoted}`], "access exclusive");
          return await tx.query(
            "select c.relname::text as name from pg_locks l join pg_class c on c.oid = l.relation where mode = 'AccessExclusiveLock'",
          );
        }));
      expect(held).toEqual([{ name }]);
    }
    expect(await ours.query("select to_regclass('a') is not null as there")).toEqual([{ there: true }]);
  });

  it("throws what is no lock's fault at once", async () => {
    const { ours } = await tables();
    let tries = 0;
    const error = await withLocks({ act: "x", log: silentLog }, (lock) =>
      ours.transaction(async (tx) => {
        tries++;
        await lock(tx, ["nowhere"], "access exclusive");
      })).catch((error) => error);
    expect([tries, error.sqlstate]).toEqual([1, "42P01"]);
  });
});

describe("migrations", () => {
  it("name the tables in use that they change", () => {
    for (const schema of SCHEMAS) {
      for (const { id, sql, locks = [] } of schema.migrations) {
        const text = sql.replace(/--.*/g, "");
        const made = [...text.matchAll(/create (?:unlogged )?table (?:if not exists )?(\S+)/g)].map((match) =>
          match[1]!
        );
        const changed = [
          ...text.matchAll(/alter table (?:if exists )?(?:only )?(\S+)/g),
          ...text.matchAll(/drop table (?:if exists )?(\S+?);?\s/g),
          ...text.matchAll(/(?:create|drop) (?:unique )?(?:index|trigger)[^;]*? on (?:only )?(\S+)/g),
        ].map((match) => match[1]!).filter((table) => !made.includes(table));
        expect([schema.name, id, [...locks].sort()]).toEqual([schema.name, id, [...new Set(changed)].sort()]);
      }
    }
  });
});
