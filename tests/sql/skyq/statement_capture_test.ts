import { beforeEach, describe, expect, it } from "vitest";
import { seeded } from "../../harness/seed.ts";
import { useDatabase } from "./database.ts";

const database = useDatabase();

beforeEach(() =>
  database.current.sql.unsafe(`
    reset all;
    drop schema public cascade; create schema public; grant all on schema public to public;
    select pgq.drop_queue(queue_name, true) from pgq.queue; select pgq.create_queue('q');
    select skyq._forget_capture(queue_name, null) from skyq.capture;
    create table t (id int primary key, txt text, n numeric)`)
);

const capture = () => database.current.sql.unsafe("select skyq.create_capture('q', 't', '{}', 'statement')");

async function logged(): Promise<string[]> {
  return (await database.current.events()).map((row) => `${row.type} ${row.data}`);
}

describe("skyq.create_capture() by statement", () => {
  it("makes a trigger per kind of statement, and goes back to rows", async () => {
    const { current } = database;
    const triggers = () =>
      current.rows(`select tgname::text, tgtype::int from pg_trigger
                     where tgrelid = 't'::regclass and not tgisinternal order by 1`);
    await capture();
    expect(await triggers()).toEqual([
      ["_londiste_q", 4],
      ["_londiste_q_del", 8],
      ["_londiste_q_truncate", 32],
      ["_londiste_q_upd", 16],
    ]);
    const before = await current.rows("select oid from pg_trigger where tgrelid = 't'::regclass");
    await capture();
    expect(await current.rows("select oid from pg_trigger where tgrelid = 't'::regclass")).toEqual(before);
    await current.sql.unsafe("select skyq.create_capture('q', 't', '{}', 'auto')");
    expect(await triggers()).toEqual([["_londiste_q", 29], ["_londiste_q_truncate", 32]]);
  });

  it("logs all rows of a statement, as rows would be", async () => {
    const { sql } = database.current;
    await capture();
    await sql.unsafe("insert into t select g, 'a b', g * 0.5 from generate_series(1, 3) g");
    await sql.unsafe("update t set txt = null where id > 1; update t set txt = 'x' where id = 77");
    await sql.unsafe("insert into t values (3, 'up'), (4, 'new') on conflict (id) do update set txt = excluded.txt");
    await sql.unsafe("delete from t where id < 3; truncate t");
    expect(await logged()).toEqual([
      "I:id id=1&txt=a+b&n=0.5",
      "I:id id=2&txt=a+b&n=1.0",
      "I:id id=3&txt=a+b&n=1.5",
      "U:id id=2&txt&n=1.0",
      "U:id id=3&txt&n=1.5",
      "U:id id=3&txt=up&n=1.5",
      "I:id id=4&txt=new&n",
      "D:id id=1&txt=a+b&n=0.5",
      "D:id id=2&txt&n=1.0",
      "R ",
    ]);
  });

  it("logs once what a referential action of another table does", async () => {
    const { sql } = database.current;
    await sql.unsafe(`create table o (id int primary key);
      alter table t drop txt, drop n, add o_id int references o on delete cascade on update cascade`);
    await capture();
    await sql.unsafe("insert into o values (1), (2), (3); insert into t values (10, 1), (11, 1), (12, 2), (13, 3)");
    await logged();
    await sql.unsafe("delete from o where id < 3");
    expect((await logged()).sort()).toEqual(["D:id id=10&o_id=1", "D:id id=11&o_id=1", "D:id id=12&o_id=2"]);
    await sql.unsafe("with gone as (delete from t where id = 77) update o set id = 4");
    expect(await logged()).toEqual(["U:id id=13&o_id=4"]);
  });

  it("logs changed keys as what is gone, stayed and came", async () => {
    const { sql } = database.current;
    await capture();
    await sql.unsafe("insert into t values (1, 'a'), (2, 'b'), (3, 'c')");
    await logged();
    await sql.unsafe("update t set id = id + 1 where id = 3");
    expect(await logged()).toEqual(["D:id id=3&txt=c&n", "I:id id=4&txt=c&n"]);
    await sql.unsafe("alter table t drop constraint t_pkey, add primary key (id) deferrable initially deferred");
    await sql.unsafe("select skyq.refresh_capture('q', 't')");
    await sql.unsafe("update t set id = id + 1");
    expect(await logged()).toEqual([
      "D:id id=1&txt=a&n",
      "D:id id=4&txt=c&n",
      "I:id id=3&txt=b&n",
      "I:id id=5&txt=c&n",
      "U:id id=2&txt=a&n",
    ].sort((a, b) => "DUI".indexOf(a[0]!) - "DUI".indexOf(b[0]!)));
    await sql.unsafe("update t set id = 5 - id where id < 5"); // 2 and 3 change places
    expect((await logged()).sort()).toEqual(["U:id id=2&txt=b&n", "U:id id=3&txt=a&n"]);
  });

  it("says where it is not safe, when asked for and when it becomes so", async () => {
    const { sql } = database.current;
    const refusal = (args = "{}") =>
      database.current.error(`select skyq.create_capture('q', 't', '${args}', 'statement')`);
    const check = () => database.current.rows("select problem from skyq.check_capture('q')");
    for (const args of ["{backup}", "{deny}", "{ignore=txt}"]) {
      expect(await refusal(args)).toContain("backup, deny and ignore= need each row before and after");
    }
    expect(await refusal("{pkey=txt}")).toContain("it has no key of columns that are not null");
    await capture();
    expect(await check()).toEqual([[null]]);
    for (
      const [make, undo, why] of [
        [
          `create function f() returns trigger language plpgsql as 'begin return new; end';
           create trigger tg after insert on t for each row execute function f()`,
          "drop trigger tg on t",
          'trigger "tg" may change the table while a statement runs',
        ],
        ["create trigger tg after insert on t execute function f()", "drop trigger tg on t", 'trigger "tg" may change'],
        [
          "create trigger tg before update on t for each row execute function f()",
          "drop trigger tg on t",
          "may change",
        ],
        [
          "alter table t add constraint fk foreign key (id) references t on delete cascade",
          "alter table t drop constraint fk",
          "foreign keys may change the table because it was changed",
        ],
        [
          `create table o (id int primary key references t on update cascade);
           alter table t add constraint fk foreign key (id) references o on delete set null`,
          "alter table t drop constraint fk; drop table o",
          "foreign keys may change",
        ],
        ["create table child () inherits (t)", "drop table child", "it inherits or is a partition"],
      ]
    ) {
      await sql.unsafe(make!);
      expect((await check())[0]![0]).toContain(why);
      expect(await refusal()).toContain(why);
      await sql.unsafe(undo!);
      expect(await check()).toEqual([[null]]);
    }
    await sql.unsafe(`create trigger tg before insert on t execute function f();
      create table o (id int primary key references t on delete cascade)`);
    expect(await check()).toEqual([[null]]);
  });

  it("keeps to queue, role and rights as by row", async () => {
    const { sql, error } = database.current;
    await capture();
    await sql.unsafe("update pgq.queue set queue_cur_table = 2");
    const role = `app_${database.current.lent.name}_s`;
    await sql.unsafe(`create role ${role} login; grant select, insert, update, delete on t to ${role}`);
    const app = database.current.connect(role);
    await app.unsafe("insert into t values (1), (2); update t set n = 1; delete from t where id = 2");
    await app.end();
    await sql.unsafe(`drop owned by ${role}; drop role ${role}`);
    expect(await database.current.rows("select distinct right(tableoid::regclass::text, 2) from pgq.event_template"))
      .toEqual([["_2"]]);
    expect((await logged()).length).toBe(5);
    await sql.unsafe("set session_replication_role = local; delete from t; reset session_replication_role");
    expect(await logged()).toEqual([]);
    await sql.unsafe("update pgq.queue set queue_disable_insert = true");
    expect(await error.call(database.current, "insert into t values (1)")).toContain("Insert into queue disallowed");
    await sql.unsafe("update pgq.queue set queue_disable_insert = false, queue_per_tx_limit = 2");
    expect(await error.call(database.current, "insert into t values (1), (2), (3)")).toContain("allows max 2 events");
  });

  it("logs an altered table by its rows before and after", async () => {
    const { sql } = database.current;
    await sql.unsafe("alter table t add by text");
    await capture();
    await sql.unsafe("insert into t values (1, 'a', 1)");
    await logged();
    await sql.unsafe("alter table t drop n, add x int default 3; alter table t rename txt to name");
    await sql.unsafe("insert into t (id, name) values (2, 'b')");
    await sql.unsafe("update t set x = 4; delete from t");
    expect(await logged()).toEqual([
      "I:id id=2&name=b&by&x=3",
      "D:id id=1&name=a&by&x=3",
      "D:id id=2&name=b&by&x=3",
      "I:id id=1&name=a&by&x=4",
      "I:id id=2&name=b&by&x=4",
      "D:id id=1&name=a&by&x=4",
      "D:id id=2&name=b&by&x=4",
    ]);
    await sql.unsafe("select skyq.refresh_capture('q', 't')");
    await sql.unsafe("insert into t (id) values (1); update t set x = 1");
    expect(await logged()).toEqual(["I:id id=1&name&by&x=3", "U:id id=1&name&by&x=1"]);
  });

  it("adds up to the table, whatever the statements", async () => {
    const { sql } = database.current;
    await sql.unsafe("alter table t drop constraint t_pkey, add primary key (id) deferrable");
    await capture();
    const random = seeded("statements");
    for (let round = 0; round < 150; round++) {
      const low = random.int(1, 60);
      await sql.unsafe(random.pick([
        `insert into t select g, 'i${round}', g from generate_series(${low}, ${low + random.int(0, 20)}) g
          where not exists (select from t where id = g)`,
        `update t set txt = 'u${round}' where id between ${low} and ${low + 15}`,
        `update t set id = id + 1 where id >= ${low}`,
        `update t set id = ${2 * low + 10} - id where id between ${low} and ${low + 10}`,
        `update t set id = id + 1000 where id % 7 = ${low % 7} and id < 1000`,
        `delete from t where id between ${low} and ${low + random.int(0, 8)} or id > 1500`,
        `with moved as (delete from t where id < ${low} returning *) insert into t select id + 3000, txt, n from moved`,
      ])).catch((error) => {
        if (error.code !== "23505") throw error; // undone as a whole
      });
    }
    const replayed = new Map<number, string>();
    for (const { type, data } of await database.current.events()) {
      const fields = new URLSearchParams(data!);
      const id = Number(fields.get("id"));
      expect([id, replayed.has(id)]).toEqual([id, type !== "I:id"]);
      if (type === "D:id") replayed.delete(id);
      else replayed.set(id, `${fields.get("txt")} ${fields.get("n")}`);
    }
    expect([...replayed].sort((a, b) => a[0] - b[0])).toEqual(
      await database.current.rows("select id, txt || ' ' || n from t order by id"),
    );
  });
});
