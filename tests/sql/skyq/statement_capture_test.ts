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
      ["_londiste_q_key", 17],
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

  it("sees changed keys however they change, and whoever looks at the rows before and after", async () => {
    const { sql } = database.current;
    await sql.unsafe('create table u (a text, "b,c" int, n int, primary key ("b,c", a))');
    await sql.unsafe("select skyq.create_capture('q', 'u', '{}', 'statement')");
    await capture();
    const isPlain = async (text: string, types: string) => {
      await logged();
      await sql.unsafe(text);
      expect([text, (await database.current.events()).map((row) => row.type).join()]).toEqual([text, types]);
    };
    await sql.unsafe(
      "insert into t values (1, 'a'), (2, 'b'), (3, 'c'); insert into u values ('x', 1, 1), ('y', 2, 2)",
    );
    await isPlain("update t set txt = 'z' where id = 1", "U:id");
    await isPlain("update t set id = 11 where id = 1; update t set txt = 'z' where id = 11", "D:id,I:id,U:id");
    await isPlain("begin; update t set id = 1 where id = 11; update t set id = id; commit", "D:id,I:id,U:id,U:id,U:id");
    await isPlain("insert into t values (3) on conflict (id) do update set id = 33", "D:id,I:id");
    await isPlain(
      "with a as (update t set id = 3 where id = 33) update t set txt = 'z' where id = 2",
      "D:id,U:id,I:id",
    );
    await isPlain(
      "with a as (update t set txt = 'y' where id = 2) update t set id = 33 where id = 3",
      "D:id,U:id,I:id",
    );
    await isPlain(
      `with a as (insert into t values (2) on conflict (id) do update set txt = 'z') update t set id = 3 where id = 33`,
      "D:id,U:id,I:id",
    );
    await isPlain("update t set id = 33 where id = 3", "D:id,I:id");
    await isPlain(`update u set a = 'z', n = 3 where a = 'x'`, `D:"b,c",a,I:"b,c",a`.replaceAll('"', ""));
    await isPlain(`update u set n = 4`, "U:b,c,a,U:b,c,a");
    await isPlain(`update u set "b,c" = "b,c" + 5 where a = 'y'`, "D:b,c,a,I:b,c,a");
    await isPlain(
      `create function other() returns int language plpgsql as
         'begin update u set "b,c" = 90 + "b,c" where a = ''z''; return 0; end';
       update t set id = id + 100, n = other() where id = 2`,
      "D:b,c,a,I:b,c,a,D:id,I:id",
    );
    if (Number(await database.current.value("select current_setting('server_version_num')")) >= 150000) {
      await isPlain(
        "merge into t using (values (33)) v (i) on t.id = v.i when matched and txt is null then do nothing " +
          "when matched then update set id = 34",
        "D:id,I:id",
      );
      await isPlain("update t set id = 33 where id = 34", "D:id,I:id");
    }
    await isPlain("alter table t disable trigger _londiste_q_key; update t set id = 5 where id = 33", "D:id,I:id");
    await isPlain("alter table t enable trigger _londiste_q_key; update t set id = 6 where id = 5", "D:id,I:id");
    await isPlain("begin isolation level serializable; update t set id = 5 where id = 6; commit", "D:id,I:id");
    await isPlain(
      `create function moves() returns trigger language plpgsql as 'begin NEW.id := NEW.id + 1000; return NEW; end';
       create trigger moves before update on t for each row execute function moves();
       update t set txt = 'm' where id = 5`,
      "D:id,I:id",
    );
    await isPlain("drop trigger moves on t; update t set txt = 'n' where id > 1000", "U:id");
    expect(await database.current.error("alter table t alter id type bigint")).toMatch(/used in a trigger definition/);
    await isPlain("drop trigger _londiste_q_key on t; update t set id = 5 where id > 1000", "D:id,I:id");
    await isPlain("alter table t alter id type bigint; update t set id = 6e9 where id = 5", "D:id,I:id");
    await capture();
    await isPlain("update t set txt = 'o' where id = 6e9; update t set id = 5 where id = 6e9", "U:id,D:id,I:id");
  });

  it("logs long statements as the original does, whatever their texts hold", async () => {
    const { sql } = database.current;
    await sql.unsafe("select pgq.create_queue('generic'); create type mood as enum ('so so', 'a&b', '?')");
    const tables = {
      "no words": ["int not null", "timestamptz", "numeric"],
      "one word": ["text", "timestamp not null", "bytea", "int[]"],
      "no nulls": ["text not null", "varchar(40) not null", "bool not null", "timestamptz not null", "uuid not null"],
      "all kinds": [
        "bool",
        "varchar(40)",
        "char(5)",
        "mood",
        "timestamptz",
        "date",
        "interval",
        "time",
        "float8",
        "jsonb",
      ],
      "many words": Array.from({ length: 6 }, () => "text"),
      wide: Array.from({ length: 30 }, (_, i) => i % 15 === 0 ? "text" : "int"),
    };
    const values: Record<string, string> = {
      text: "w",
      "varchar(40)": "w",
      "char(5)": "left(w, 5)",
      mood: "(array['so so', 'a&b', '?'])[1 + i % 3]::mood",
      int: "i",
      "int[]": "array[i, null]",
      numeric: "i / 7.0",
      bool: "i % 2 = 0",
      bytea: "convert_to(w, 'UTF8')",
      timestamptz: "timestamptz '2026-01-31 12:13:14.5+05:30' + i * interval '1 day 0.1 s'",
      timestamp: "timestamp 'infinity'",
      date: "date '0044-03-15 BC' + i",
      interval: "i * interval '1 day -3 s'",
      time: "time '12:00' + i * interval '1 s'",
      float8: "1e30 * i",
      jsonb: `jsonb_build_object('a b', w)`,
      uuid: "md5(w)::uuid",
    };
    // The rows that are looked at may hold none of the signs that the others hold, some, or all.
    const texts = [
      "left at 9, door & co",
      "a@b.c: d",
      "a",
      "",
      "x@y",
      "x: y",
      "it's 5%",
      "+=?",
      "\\",
      "ü",
      "漢字",
      "\x01",
      "a\nb",
    ];
    const words = {
      plain: "'left at 9, door & co ' || i",
      "rarely odd": `case when i % 20 = 19 then (array[$$${
        texts.join("$$, $$")
      }$$])[1 + i / 20 % ${texts.length}] else 'a, b' end`,
      signs: "'x@y.z: ' || i",
      odd: `(array[$$${texts.join("$$, $$")}$$])[1 + i % ${texts.length}] || i`,
    };
    for (const [name, types] of Object.entries(tables)) {
      const columns = types.map((type, i) => `"c &${i}+ü" ${type}`).join(", ");
      await sql.unsafe(`drop table if exists w; create table w (id int primary key, ${columns});
        select skyq.create_capture('q', 'w', '{}', 'statement');
        create trigger g after insert or update or delete on w for each row execute function pgq.logutriga('generic')`);
      for (const [kind, word] of Object.entries(words)) {
        const row = types.map((type) => {
          const value = values[type.replace(" not null", "")]!;
          return type.endsWith("not null") ? value : `case when i % 11 <> 5 then ${value} end`;
        });
        await sql.unsafe(`
          insert into w select i, ${row.join(", ")} from generate_series(1, 300) i, lateral (select ${word}) l (w);
          update w set "c &1+ü" = "c &1+ü" where id % 3 > 0; update w set id = id + 1000 where id % 2 = 0; delete from w`);
        const logged = (queue: string) =>
          database.current.rows(`select e.ev_type, e.ev_data from pgq.event_template e
                 where e.tableoid::regclass::text like
                       (select q.queue_data_pfx || '\\_%' from pgq.queue q where q.queue_name = '${queue}')
                 order by e.ev_type, e.ev_data collate "C"`);
        const generated = await logged("q");
        expect([name, kind, generated.length]).toEqual([name, kind, 300 + 200 + 300 + 300]);
        expect(generated).toEqual(await logged("generic"));
        await sql.unsafe("delete from pgq.event_template");
      }
    }
    await sql.unsafe("drop table w; select pgq.drop_queue('generic', true)");
  });

  it("leaves the planner's settings as they were, and logs long statements of a queue with limits", async () => {
    const { sql } = database.current;
    await capture();
    const settings = () =>
      database.current.rows(
        "select current_setting('jit'), current_setting('enable_nestloop'), current_setting('enable_seqscan')",
      );
    await sql.unsafe("set jit = on");
    await sql.unsafe(`begin; set local enable_seqscan = off;
      insert into t select g, 'a' from generate_series(1, 200) g; update t set txt = 'b'; update t set id = id + 500;
      delete from t where id < 600`);
    expect(await settings()).toEqual([["on", "on", "off"]]);
    await sql.unsafe("commit");
    expect(await settings()).toEqual([["on", "on", "on"]]);
    expect((await logged()).length).toBe(200 + 200 + 400 + 99);
    await sql.unsafe("update pgq.queue set queue_per_tx_limit = 150 where queue_name = 'q'");
    await sql.unsafe("update t set txt = 'c'");
    expect((await logged()).length).toBe(101);
    expect(await database.current.error("insert into t select g from generate_series(1, 200) g")).toMatch(
      /allows max 150 events/,
    );
    expect(await settings()).toEqual([["on", "on", "on"]]);
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
        [
          `create table o (id int primary key);
           alter table t add foreign key (id) references o on update cascade`,
          "alter table t drop constraint t_id_fkey; drop table o",
          "a foreign key may change its key",
        ],
        [
          `create table o (id int primary key);
           alter table t add a int references o on delete set null, add b int references o on delete cascade`,
          "alter table t drop a, drop b; select skyq.refresh_capture('q', 't'); drop table o",
          "two foreign keys may change a row twice",
        ],
        ["create table child () inherits (t)", "drop table child", "it inherits or is a partition"],
      ]
    ) {
      await sql.unsafe(make!);
      await sql.unsafe("select skyq.refresh_capture('q', 't')");
      expect((await check())[0]![0]).toContain(why);
      expect(await refusal()).toContain(why);
      await sql.unsafe(undo!);
      expect(await check()).toEqual([[null]]);
    }
    await sql.unsafe(`create trigger tg before insert on t execute function f();
      create table o (id int primary key references t on delete cascade)`);
    expect(await check()).toEqual([[null]]);
    await sql.unsafe(`drop table o; create table p (id int primary key);
      alter table t add a int references p on update cascade on delete cascade,
                    add b int references p on update cascade on delete cascade;
      select skyq.refresh_capture('q', 't')`);
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
