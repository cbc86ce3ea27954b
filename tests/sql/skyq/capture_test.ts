import { beforeEach, describe, expect, it } from "vitest";
import { seeded } from "../../harness/seed.ts";
import { type Event, useDatabase } from "./database.ts";

const database = useDatabase();

function event(type: string, data: string, extra: Partial<Event> = {}): Event {
  return { type, data, table: "public.t", backup: null, ...extra };
}

beforeEach(async () => {
  await database.current.sql.unsafe(`
    reset all;
    drop schema public cascade; create schema public; grant all on schema public to public;
    select pgq.drop_queue(queue_name, true) from pgq.queue; select pgq.create_queue('q');
    select skyq._forget_capture(queue_name, null) from skyq.capture;
    create table t (id int primary key, txt text)`);
});

describe("skyq.create_capture()", () => {
  it("makes a row trigger and a truncate trigger with the names and the first argument of the original's", async () => {
    const { value, rows } = bind();
    expect(await value("select skyq.create_capture('q', 't', '{backup}')")).toBe("row");
    expect(
      await rows(`select t.tgname::text, array_to_string(skyq._trigger_args(t.tgargs), ' '), t.tgtype::int
                    from pg_trigger t where t.tgrelid = 't'::regclass order by 1`),
    ).toEqual([["_londiste_q", "q backup", 29], ["_londiste_q_truncate", "q", 32]]);
    expect(
      await rows(
        "select queue_name, table_name, mode, columns, trigger_args from skyq.capture where table_oid = 't'::regclass",
      ),
    ).toEqual([["q", "public.t", "row", "id 23, txt 25 key id not null id", ["backup"]]]);
  });

  it("leaves triggers that are right alone and replaces others of the queue, not those of another", async () => {
    const { sql, rows } = bind();
    const triggers = () =>
      rows("select oid, tgname::text from pg_trigger where tgrelid = 't'::regclass order by tgname");
    await sql.unsafe(
      "select pgq.create_queue('q2'), skyq.create_capture('q', 't', '{}'), skyq.create_capture('q2', 't', '{}')",
    );
    const before = await triggers();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}')");
    expect(await triggers()).toEqual(before);

    await sql.unsafe("create trigger other after insert on t for each row execute function pgq.logutriga('q')");
    await sql.unsafe("select skyq.create_capture('q', 't', '{backup}')");
    const after = await triggers();
    expect(after.map((row) => row[1])).toEqual(before.map((row) => row[1]));
    expect(after.filter((row) => before.some((old) => old[0] === row[0])).map((row) => row[1])).toEqual([
      "_londiste_q2",
      "_londiste_q2_truncate",
      "_londiste_q_truncate",
    ]);
  });

  it("answers null where the generic trigger is needed, and changes nothing", async () => {
    const { sql, value } = bind();
    await sql.unsafe(`
      create table magic (id int primary key, _pgq_ev_extra1 text);
      create table parted (id int primary key) partition by range (id); create view v as select 1 as id`);
    for (const arg of ["when=id>1", "ev_extra3='x'", "ev_extra1=txt", "SKIP", "foo", "ignore=id txt", "pkey=id,\tid"]) {
      expect(await value(`select skyq.create_capture('q', 't', array[$$${arg}$$])`)).toBe(null);
    }
    for (const table of ["magic", "parted", "v"]) {
      expect(await value(`select skyq.create_capture('q', '${table}', '{}')`)).toBe(null);
    }
    expect(
      await value(
        "select count(*)::int from pg_trigger where not tgisinternal and tgrelid not in ('londiste.table_info'::regclass, 'pgq.queue'::regclass)",
      ),
    )
      .toBe(0);
  });

  it("says what is wrong", async () => {
    const { error } = bind();
    expect(await error("select skyq.create_capture('q', 'nosuch', '{}')")).toBe(
      'Cannot capture table "nosuch": no such table',
    );
    expect(await error("select skyq.create_capture('nosuch', 't', '{}')")).toBe(
      'Cannot capture into queue "nosuch": no such queue',
    );
    expect(await error("select skyq.create_capture('q', 't', '{}', 'column')")).toBe(
      'Cannot capture table "t": bad mode "column"',
    );
    expect(await error("select skyq.refresh_capture('q', 't')")).toBe(
      'Cannot refresh capture of table "t" in queue "q": not captured',
    );
  });

  it("logs under another name when told", async () => {
    const { sql, events } = bind();
    await sql.unsafe(`select skyq.create_capture('q', 't', array[$$ev_extra1='far.a''way'$$])`);
    await sql.unsafe("insert into t values (1, 'a'); truncate t");
    expect(await events()).toEqual([
      event("I:id", "id=1&txt=a", { table: "far.a'way" }),
      event("R", "", { table: "far.a'way" }),
    ]);
  });

  it("takes any name: quotes, dots, key words, capitals, the longest, other scripts", async () => {
    const { sql, events, value } = bind();
    const schema = `Sch"e'ma`;
    const table = "Ta.b\\le %s $$ é漢字";
    const long = "ü".repeat(31) + "x";
    const queue = `Qu'e"ue\\ %L 漢字 ${"é".repeat(30)}`;
    const id = (name: string) => `"${name.replaceAll('"', '""')}"`;
    const columns = ["by", "new", "tg_op", "v_data", 'k"ey', "a b%s&=+\\", long, "select", "Größe"];
    await sql`select pgq.create_queue(${queue})`;
    await sql.unsafe(`create schema ${id(schema)}; create table ${id(schema)}.${id(table)} (
      ${columns.map((name) => `${id(name)} text`).join(", ")}, primary key (${id(columns[4]!)}, ${id(long)}))`);
    const [created] = await sql`select skyq.create_capture(${queue}, ${`${schema}.${table}`}, '{}') as mode`;
    expect(created!.mode).toBe("row");
    await sql.unsafe(
      `insert into ${id(schema)}.${id(table)} values (${columns.map((_, index) => `'v${index}'`).join(", ")})`,
    );
    await sql.unsafe(`update ${id(schema)}.${id(table)} set "by" = null; truncate ${id(schema)}.${id(table)}`);
    const encode = (name: string) =>
      encodeURIComponent(name).replace(/%../g, (hex) => hex.toLowerCase()).replaceAll("%20", "+");
    const data = columns.map((name, index) => `${encode(name)}=v${index}`).join("&");
    const key = `k"ey,${long}`;
    expect(await events()).toEqual([
      event(`I:${key}`, data, { table: `${schema}.${table}` }),
      event(`U:${key}`, data.replace("by=v0", "by"), { table: `${schema}.${table}` }),
      event("R", "", { table: `${schema}.${table}` }),
    ]);
    const names = await sql`select t.tgname::text as name, octet_length(t.tgname)::int as size from pg_trigger t
      where t.tgrelid = format('%I.%I', ${schema}::text, ${table}::text)::regclass order by length(t.tgname), 1`;
    expect(names.map((row) => row.size <= 63 && row.name.startsWith("_londiste_Qu'e"))).toEqual([true, true]);
    expect(new Set(names.map((row) => row.name)).size).toBe(2);
    await sql`select skyq.drop_capture(${queue}, ${`${schema}.${table}`})`;
    expect(
      await value(`select count(*)::int from pg_trigger t where not t.tgisinternal and t.tgname like '\\_londiste%'`),
    ).toBe(0);
    await sql.unsafe(`drop schema ${id(schema)} cascade`);
  });
});

describe("a captured table", () => {
  it("is written by roles that have no right on the queue", async () => {
    const { sql, rows, events } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}')");
    const role = `app_${database.current.lent.name}`;
    await sql.unsafe(`create role ${role} login; grant select, insert, update, delete, truncate on t to ${role}`);
    const app = database.current.connect(role);
    await app.unsafe("insert into t values (1, 'a'); update t set id = 2; delete from t; truncate t");
    expect(await rows("select has_table_privilege(current_user, 'pgq.event_template', 'insert')", app)).toEqual([[
      false,
    ]]);
    // Nobody but who administers queues may hang the function on a table of their own.
    await expect(app.unsafe(`create temp table mine (id int primary key, txt text);
      create trigger x after insert on mine for each row execute function skyq.${
      (await rows("select function_name from skyq.capture where table_oid = 't'::regclass"))[0]![0]
    }()`)).rejects.toThrow(/permission denied for function (skyq\.)?capture_/);
    expect((await events()).map((row) => row.type)).toEqual(["I:id", "D:id", "I:id", "D:id", "R"]);
    await app.end();
    await sql.unsafe(`drop owned by ${role}; drop role ${role}`);
  });

  for (const mode of ["row", "statement"]) {
    it(`does not run what a writer's search_path offers, by ${mode}`, async () => {
      const { sql, value, events } = bind();
      const isRow = mode === "row";
      await sql.unsafe(`
        create table w (id int primary key, a text not null, b varchar, c timestamptz, d bytea, e jsonb, f point, g bool);
        select skyq.create_capture('q', 'w', '${isRow ? "{backup,ignore=g}" : "{}"}', '${mode}')`);
      const bodies = await value(
        "select string_agg(prosrc, '') from pg_proc where pronamespace = 'skyq'::regnamespace and proname ~ '^capture_'",
      );
      const code = String(bodies).replace(/--.*/g, "").replace(/'(?:[^']|'')*'/g, "''")
        .replace(/operator\(pg_catalog\.[^)]+\)/g, " ");
      const words = code.match(/(?<![.\w"])[a-z_0-9]+(?=\()|(?<=::)[a-z_0-9]+(?!\w|\.)/g);
      expect(words?.filter((word) => word !== "array") ?? []).toEqual([]);
      expect(
        code.replaceAll(":=", "").replaceAll(/select \*|\b[no]\.\*/g, "").match(/[-+*/<>=~!@#%^&|?]+/g)?.filter((
          sign,
        ) => !/[<>]{2}/.test(sign)) ?? [],
      )
        .toEqual([]);

      const bad = "language plpgsql as $$begin raise exception 'ran'; end$$";
      const bins = ["int", "bigint", "oid", "text", "bool", "bytea", "jsonb"].flatMap((type) => [
        `create function evil.bad(${type}, ${type}) returns bool ${bad}`,
        ...["=", "<>", "~", "!~"].map((name) =>
          `create operator evil.${name} (function = evil.bad, leftarg = ${type}, rightarg = ${type})`
        ),
      ]);
      const calls = [
        "concat(variadic text[])",
        "replace(text, text, text)",
        "now()",
        "current_setting(text)",
        "set_config(text, text, bool)",
        "encode(bytea, text)",
        "format(text, variadic text[])",
        "json_object_keys(json)",
        "_urlencode(text)",
        "quote_fqname(text)",
        "nextval(regclass)",
        "txid_current()",
      ].map((head) => `create function evil.${head} returns text ${bad}`);
      const types = ["text", "int4", "regclass", "date", "bool", "oid", "interval", "float8"].map((name) =>
        `create domain evil."${name}" as pg_catalog.text check (false)`
      );
      await sql.unsafe(
        ["drop schema if exists evil cascade; create schema evil", ...bins, ...calls, ...types].join("; "),
      );
      const writes = [
        "insert into w values (1, 'a b', 'c&d', '2026-01-31', '\\x0102', '{}', null, true)",
        "insert into w values (2, 'a?b', '(c)', '2026-01-31', '\\x0102', '{}', '(1,2)', true)",
        "insert into w values (5, 'Широкая электрификация', 'ü'), (6, '', E'\\x01')",
        "insert into w select i, 'a b', 'c,d', '2026-01-31', '\\x0102', '{}' from pg_catalog.generate_series(100, 200) i",
        "update w set a = 'x'",
        "update w set id = id where id > 100",
        "update w set g = false",
        "set datestyle = 'German'",
        "insert into w values (3, 'a b', null, '2026-01-31', null, null, null, null)",
        "update w set b = 'n'",
        "set datestyle = 'ISO'",
        "begin; alter table w add h int; insert into w values (4, 'a', 'b'); update w set b = 'z'; rollback",
        "delete from w",
        "truncate w",
      ];
      for (const text of writes) await sql.unsafe(text);
      const clean = await events();
      await sql.unsafe("set search_path = evil, pg_catalog, public");
      await expect(sql.unsafe("select concat('a'::pg_catalog.text, 'b')")).rejects.toThrow("ran");
      for (const text of writes) {
        await sql.unsafe(text).catch((error) => {
          throw new Error(`${text}: ${error.message}\n${error.where}`);
        });
      }
      await sql.unsafe("reset search_path");
      // An update finds rows as they lie, and a page may have been cleaned up meanwhile.
      const inAnyOrder = (list: readonly unknown[]) => list.map((event) => JSON.stringify(event)).sort();
      expect(inAnyOrder(await events())).toEqual(inAnyOrder(clean));
      expect(clean.length).toBeGreaterThan(13);
      await sql.unsafe("drop schema evil cascade; drop table w");
    });
  }

  it("leaves the writer's settings as they were", async () => {
    const { sql, rows } = bind();
    await sql.unsafe(`create table w (id int primary key, d date, i interval, f float8, m money);
      select skyq.create_capture('q', 'w', '{}')`);
    const settings = () =>
      rows(`select current_setting('search_path'), current_setting('datestyle'), current_setting('intervalstyle'),
                   current_setting('extra_float_digits'), current_setting('lc_monetary')`);
    await sql.unsafe("set datestyle = 'German'; set intervalstyle = 'iso_8601'; set extra_float_digits = 0");
    const before = await settings();
    await sql.unsafe("begin; insert into w values (1, '2026-01-31', '1 day', 0.1, '1')");
    expect(await settings()).toEqual(before);
    await sql.unsafe(`do $$ begin
        insert into w values (2); alter table w add constraint x check (id < 3); insert into w values (3);
      exception when check_violation then null; end $$`);
    expect(await settings()).toEqual(before);
    await sql.unsafe("commit");
    expect(await settings()).toEqual(before);
    await sql.unsafe("reset all");
  });

  it("writes to the current event table, also when that changes", async () => {
    const { sql, rows } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}')");
    const [queue] = await sql`select queue_id as id, queue_data_pfx as prefix from pgq.queue where queue_name = 'q'`;
    const other = database.current.connect();
    for (const [key, current] of [[1, 0], [2, 1], [3, 2], [4, 0]]) {
      await sql`update pgq.queue set queue_cur_table = ${current!} where queue_id = ${queue!.id}`;
      await other.unsafe(`insert into t values (${key}, null)`);
    }
    expect(
      await rows(`select e.tableoid::regclass::text, e.ev_data from ${queue!.prefix} e order by e.ev_id`),
    ).toEqual([1, 2, 3, 4].map((key) => [`${queue!.prefix}_${(key - 1) % 3}`, `id=${key}&txt`]));
    // the same fields as pgq.insert_event() fills
    expect(
      await rows(`select count(*)::int from ${queue!.prefix} e
                   where e.ev_txid > 0 and e.ev_time <= now() and e.ev_owner is null and e.ev_retry is null`),
    ).toEqual([[4]]);
  });

  it("follows the queue's row without looking: in open transactions, old snapshots, after a rollback", async () => {
    const { sql, rows, value, error, events } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}'); insert into t values (0, 'a')");
    const id = await value("select queue_id from pgq.queue where queue_name = 'q'");
    const slots = () =>
      rows(`select e.ev_data, right(e.tableoid::regclass::text, 1)::int from pgq.event_${id} e order by e.ev_id`);
    const body = String(await value("select prosrc from pg_proc where proname ~ '^capture_'"));
    expect(body).toContain(`skyq.queue_slot_${id}()`);
    expect(body).not.toContain("queue_cur_table");
    await events();

    const [first, second] = [database.current.connect(), database.current.connect()];
    await first.unsafe("begin; insert into t values (1, 'a')");
    await second.unsafe("begin isolation level repeatable read; select 1 from t");
    await sql.unsafe("update pgq.queue set queue_cur_table = 1");
    await first.unsafe("insert into t values (2, 'a')");
    await second.unsafe("insert into t values (3, 'a')");
    await first.unsafe("commit");
    await second.unsafe("commit; insert into t values (4, 'a')");
    await sql.unsafe("begin; update pgq.queue set queue_cur_table = 2; insert into t values (5, 'a'); rollback");
    await sql.unsafe("insert into t values (6, 'a')");
    const found = new Map(await slots() as [string, number][]);
    expect([...found.keys()].map((data) => Number(data[3]))).toEqual([1, 2, 3, 4, 6]);
    expect(found.get("id=1&txt=a")).toBe(0);
    for (const key of [4, 6]) expect(found.get(`id=${key}&txt=a`)).toBe(1);

    await second.unsafe("begin isolation level repeatable read; select 1 from t");
    await sql.unsafe("update pgq.queue set queue_disable_insert = true");
    await second.unsafe("insert into t values (7, 'a')").catch(() => {}); // either is right: its snapshot is older
    await second.unsafe("rollback");
    for (const session of [sql, first, second]) {
      expect(await error("insert into t values (8, 'a')", session)).toContain("Insert into queue disallowed");
    }
    await sql.unsafe("update pgq.queue set queue_disable_insert = false");
    await second.unsafe("insert into t values (9, 'a')");

    await sql.unsafe("select pgq.drop_queue('q', true); select skyq._forget_capture('q', 't'::regclass)").catch(
      () => {},
    );
  });

  it("looks for the event table with each row where nothing tells of a change", async () => {
    const { sql, rows, value } = bind();
    await sql.unsafe("alter table pgq.queue disable trigger skyq_queue_slot");
    try {
      for (const mode of ["row", "statement"]) {
        await sql.unsafe(`select skyq.create_capture('q', 't', '{}', '${mode}')`);
        const body = String(await value("select prosrc from pg_proc where proname ~ '^capture_'"));
        expect(body).toContain("queue_cur_table");
        expect(body).not.toContain("skyq.queue_slot_");
        for (const slot of [0, 1, 2]) {
          await sql.unsafe(
            `update pgq.queue set queue_cur_table = ${slot}; insert into t values (1, 'a&b'); delete from t`,
          );
        }
        expect(
          await rows(
            "select right(tableoid::regclass::text, 1)::int, count(*)::int from pgq.event_template group by 1 order by 1",
          ),
        )
          .toEqual([[0, 2], [1, 2], [2, 2]]);
        await sql.unsafe("delete from pgq.event_template");
      }
    } finally {
      await sql.unsafe("alter table pgq.queue enable always trigger skyq_queue_slot");
    }
  });

  it("loses and doubles no event while the queue is rotated under writers", async () => {
    const { sql, value } = bind();
    await sql.unsafe(
      `select skyq.create_capture('q', 't', '{}'), pgq.register_consumer('q', 'c');
      select pgq.set_queue_config('q', 'rotation_period', '0 seconds')`,
    );
    let isOver = false;
    const written = [0, 1, 2].map(async (number) => {
      const session = database.current.connect();
      let count = 0;
      for (; !isOver; count++) {
        const key = number * 1_000_000 + count;
        if (count % 4 === 0) {
          await session.unsafe(`begin${number === 1 ? " isolation level repeatable read" : ""};
            insert into t values (${key}, 'a'); select pg_sleep(0.01); update t set txt = '?' where id = ${key}; commit`);
        } else await session.unsafe(`insert into t values (${key}, 'a'); update t set txt = 'b' where id = ${key}`);
      }
      return count;
    });
    const seen = new Map<string, number>();
    const read = async () => {
      for (;;) {
        const batch = await value("select pgq.next_batch('q', 'c')");
        if (batch === null) return;
        for (
          const { key } of await sql.unsafe(`select ev_type || ev_data as key from pgq.get_batch_events(${batch})`)
        ) {
          seen.set(key, (seen.get(key) ?? 0) + 1);
        }
        await sql.unsafe(`select pgq.finish_batch(${batch})`);
      }
    };
    const tick = async () => {
      await sql.unsafe("select pgq.force_tick('q'); select pgq.ticker('q')");
      await read();
      await sql.unsafe("select pgq.maint_rotate_tables_step1('q')");
      await sql.unsafe("select pgq.maint_rotate_tables_step2()");
    };
    const slots = new Set<unknown>();
    for (let round = 0; round < 60; round++) {
      await tick();
      slots.add(await value("select queue_cur_table from pgq.queue"));
    }
    isOver = true;
    const rowCount = (await Promise.all(written)).reduce((sum, count) => sum + count, 0);
    for (let round = 0; round < 3; round++) await tick();
    expect(slots.size).toBe(3);
    expect([...seen.values()].filter((count) => count !== 1)).toEqual([]);
    expect(seen.size).toBe(2 * rowCount);
  });

  it("keeps to the queue's switches", async () => {
    const { sql, error, events } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}')");
    await sql.unsafe("update pgq.queue set queue_disable_insert = true");
    expect(await error("insert into t values (1, 'a')")).toContain("Insert into queue disallowed");
    await sql.unsafe("update pgq.queue set queue_disable_insert = false, queue_per_tx_limit = 2");
    await sql.unsafe("insert into t values (1, 'a'), (2, 'b')");
    expect(await error("insert into t values (3, 'a'), (4, 'b'), (5, 'c')")).toContain(
      "allows max 2 events from one TX",
    );
    expect((await events()).length).toBe(2);
  });

  it("follows its queue's name to a new queue, and says when there is none", async () => {
    const { sql, error, events } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}'); insert into t values (1, 'a')");
    await sql.unsafe("select pgq.drop_queue('q')");
    expect(await error("insert into t values (2, 'a')")).toContain("No such queue");
    await sql.unsafe("select pgq.create_queue('q')");
    await sql.unsafe("insert into t values (3, 'a')");
    expect(await events()).toEqual([event("I:id", "id=3&txt=a")]);
  });

  it("logs what is there after each ALTER TABLE, in all sessions, before and after a refresh", async () => {
    const { sql, events, value, rows } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{backup}')");
    const other = database.current.connect();
    const check = () => rows("select problem from skyq.check_capture('q')");
    const steps: [string, string, string][] = [
      ["alter table t add n numeric default 1.50", "id=1&txt=a&n=1.50", "id"],
      ["alter table t rename txt to name", "id=1&name=a&n=1.50", "id"],
      ["alter table t alter n type text using 'x y'", "id=1&name=a&n=x+y", "id"],
      ["alter table t drop n", "id=1&name=a", "id"],
      ["alter table t add b bool default true, add n int", "id=1&name=a&b=t&n", "id"],
      ["alter table t drop n", "id=1&name=a&b=t", "id"],
      ["alter table t drop constraint t_pkey, add primary key (name, id)", "id=1&name=a&b=t", "name,id"],
      ["alter table t rename id to ident", "ident=1&name=a&b=t", "name,ident"],
    ];
    for (const session of [sql, other]) await session.unsafe("insert into t values (1, 'a'); delete from t");
    await events();
    for (const [ddl, data, key] of steps) {
      await sql.unsafe(`insert into t values (1, 'a'); ${ddl}`);
      expect(await check()).toEqual([["columns or key have changed"]]);
      for (const session of [sql, other]) {
        await events();
        await session.unsafe(`update t set ${key.split(",").at(-1)} = 1`);
        expect(await events()).toEqual([event(`U:${key}`, data, { backup: data })]);
      }
      expect(await value("select skyq.refresh_capture('q', 't')")).toBe(true);
      expect(await value("select skyq.refresh_capture('q', 't')")).toBe(false);
      expect(await check()).toEqual([[null]]);
      for (const session of [other, sql]) {
        await session.unsafe(`update t set ${key.split(",").at(-1)} = 1`);
        expect(await events()).toEqual([event(`U:${key}`, data, { backup: data })]);
      }
      await sql.unsafe("delete from t");
      expect(await events()).toEqual([event(`D:${key}`, data)]);
    }
  });

  it("logs what is there inside the transaction that alters it, and after its rollback", async () => {
    const { sql, events } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}'); insert into t values (1, 'a')");
    await sql.unsafe(`begin; alter table t add x int default 7; insert into t values (2, 'b');
      savepoint s; alter table t drop txt; update t set x = 8 where id = 2; rollback to s;
      update t set x = 9 where id = 2; commit`);
    await sql.unsafe("begin; alter table t add y int; insert into t values (3, 'c'); rollback");
    await sql.unsafe("delete from t where id = 2");
    expect((await events()).map((row) => `${row.type} ${row.data}`)).toEqual([
      "I:id id=1&txt=a",
      "I:id id=2&txt=b&x=7",
      "U:id id=2&txt=b&x=9",
      "D:id id=2&txt=b&x=9",
    ]);
  });

  it("logs what is there in a transaction whose snapshot is older than the ALTER TABLE", async () => {
    const { sql, events } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}'); insert into t values (1, 'a')");
    for (const ddl of ["alter table t add x int", "alter table t drop x", "alter table t rename txt to name"]) {
      const other = database.current.connect();
      await other.unsafe("begin isolation level repeatable read; select count(*) from pgq.queue");
      await sql.unsafe(ddl);
      await events();
      await other.unsafe("insert into t (id) values (2); delete from t where id = 2");
      await other.unsafe("commit");
      await other.unsafe("insert into t (id) values (3); delete from t where id = 3");
      const data = ddl.includes("add") ? "&txt&x" : ddl.includes("drop") ? "&txt" : "&name";
      expect((await events()).map((row) => row.data)).toEqual([
        `id=2${data}`,
        `id=2${data}`,
        `id=3${data}`,
        `id=3${data}`,
      ]);
      await sql.unsafe("select skyq.refresh_capture('q', 't')");
    }
  });

  it("logs its name of the moment", async () => {
    const { sql, events } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}'); insert into t values (1, 'a')");
    await sql.unsafe("alter table t rename to t2; insert into t2 values (2, 'b')");
    await sql.unsafe("create schema s; alter table t2 set schema s; insert into s.t2 values (3, 'c')");
    expect((await events()).map((row) => row.table)).toEqual(["public.t", "public.t2", "s.t2"]);
    await sql.unsafe("drop schema s cascade");
  });

  it("ignores what only ignored columns change, altered or not", async () => {
    const { sql, events } = bind();
    await sql.unsafe("alter table t add a json, add b numeric");
    await sql.unsafe("select skyq.create_capture('q', 't', '{\"ignore=a, txt\"}')");
    for (let round = 0; round < 2; round++) {
      await sql.unsafe("insert into t values (1, 'x', '{}', 1)");
      await sql.unsafe(
        "update t set txt = 'y'; update t set a = null; update t set txt = 'z', b = 2; update t set b = 2",
      );
      await sql.unsafe("update t set id = 2, txt = 'k'; delete from t");
      const more = round === 0 ? "" : "&c";
      expect((await events()).map((row) => `${row.type} ${row.data}`)).toEqual([
        `I:id id=1&b=1${more}`,
        `U:id id=1&b=2${more}`,
        `U:id id=1&b=2${more}`,
        `D:id id=1&b=2${more}`,
        `I:id id=2&b=2${more}`,
        `D:id id=2&b=2${more}`,
      ]);
      if (round === 0) await sql.unsafe("alter table t add c int");
    }
  });

  it("logs the same as pgq.logutriga, whatever the types, values and settings, but for styles", async () => {
    const { sql, rows } = bind();
    const random = seeded("capture types");
    const types: [string, string[]][] = [
      ["int2", ["-1", "32767"]],
      ["int8", ["-9223372036854775808", "0"]],
      ["oid", ["4294967295"]],
      ["numeric", ["-1.50", "NaN", "1e30"]],
      ["float4", ["1e-20", "-Infinity", "1.5"]],
      ["float8", ["1e300", "NaN", "-0"]],
      ["bool", ["t", "f"]],
      ["uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]],
      ["date", ["2026-01-31", "0044-03-15 BC", "infinity"]],
      ["time", ["23:59:59.123"]],
      ["timetz", ["01:02:03+05:30", "01:02:03-08"]],
      ["timestamp", ["2026-01-31 12:13:14.5", "-infinity", "0044-03-15 01:02:03 BC"]],
      ["timestamptz", ["2026-07-31 12:13:14.5+00", "infinity", "1800-01-01 00:00+00"]],
      ["interval", ["1 year -2 days 03:04:05.6", "-1 mon"]],
      ["text", ["", "a b&c=d%+", "\u00fc\u6f22", "line\nfeed\ttab\\", "'quoted\"'"]],
      ["varchar(40)", ["plain", "with space"]],
      ["char(6)", ["ab", ""]],
      ["name", ["N ame"]],
      ["bytea", ["\\x", "\\x00ff5c27"]],
      ["json", ['{"a": [1, null]}']],
      ["jsonb", ['{"a": [1, null]}']],
      ["int[]", ["{1,NULL,3}"]],
      ["text[]", ['{"a b",NULL,"q\\"q"}']],
      ["inet", ["10.0.0.1/8", "::1"]],
      ["int4range", ["[1,5)", "empty"]],
      ["point", ["(1.5,-2)"]],
      ["pair", ['(1,"a b")', "(,)"]],
      ["mood", ["so so", "gl\u00fccklich"]],
      ["email", ["a@b.c"]],
      ["stamp", ["2026-01-31 12:13:14"]],
      ["flag", ["t", "f"]],
      ["blob", ["\\x0102"]],
      ["regclass", ["pg_catalog.pg_class"]],
      ["money", ["12.50"]],
      ["bit(3)", ["101"]],
    ];
    await sql.unsafe(`
      create type pair as (a int, b text); create type mood as enum ('so so', 'gl\u00fccklich');
      create domain email as text check (value like '%@%'); create domain stamp as timestamp;
      create domain flag as bool; create domain blob as bytea;
      create table w (id int primary key, ${types.map(([type], index) => `c${index} ${type}`).join(", ")});
      select pgq.create_queue('generic');
      select skyq.create_capture('q', 'w', '{backup}');
      create trigger g after insert or update or delete on w
        for each row execute function pgq.logutriga('generic', 'backup')`);
    // A generated function shows these in one style, for the subscriber's sake; the generic one follows the session.
    await database.current.pinLogutriga(true);
    const settings = [
      "",
      "set datestyle = 'SQL, DMY'; set intervalstyle = 'iso_8601'; set extra_float_digits = -4; set timezone = 'America/New_York'",
      "set datestyle = 'Postgres, MDY'; set intervalstyle = 'postgres_verbose'; set timezone = 'Asia/Kolkata'",
      "set datestyle = 'German'; set intervalstyle = 'sql_standard'; set bytea_output = 'escape'; set timezone = 'UTC'",
    ];
    const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
    const value = ([, texts]: [string, string[]]) => random.int(0, 4) === 0 ? "null" : literal(random.pick(texts));
    for (let id = 1; id <= 40; id++) {
      await sql.unsafe(`reset all; ${random.pick(settings)}`);
      await sql.unsafe(`insert into w values (${id}, ${types.map(value).join(", ")})`);
      const index = random.int(0, types.length - 1);
      await sql.unsafe(`update w set c${index} = ${value(types[index]!)} where id = ${id}`);
      if (random.int(0, 2) === 0) await sql.unsafe(`delete from w where id = ${id}`);
    }
    await sql.unsafe("reset all");
    await database.current.pinLogutriga(false);
    const logged = (queue: string) =>
      rows(`select e.ev_type, e.ev_data, e.ev_extra1, e.ev_extra2, e.ev_time from pgq.event_template e
             where e.tableoid::regclass::text like
                   (select q.queue_data_pfx || '\\_%' from pgq.queue q where q.queue_name = '${queue}') order by e.ev_id`);
    const generated = await logged("q");
    expect(generated.length).toBeGreaterThan(80);
    expect(generated).toEqual(await logged("generic"));
  });

  it("loses and doubles nothing when several sessions write and the table is altered meanwhile", async () => {
    const { sql, events, rows } = bind();
    await sql.unsafe("alter table t add n int; select skyq.create_capture('q', 't', '{}')");
    const writers = Array.from({ length: 3 }, (_, writer) => {
      const session = database.current.connect();
      const random = seeded(`writer ${writer}`);
      return (async () => {
        for (let round = 0; round < 60; round++) {
          const id = random.int(1, 20) * 10 + writer;
          await session.unsafe(random.pick([
            `insert into t (id, n) values (${id}, ${round}) on conflict (id) do update set n = excluded.n`,
            `update t set n = n + 1 where id = ${id}`,
            `update t set id = ${id + 1000} where id = ${id} and not exists (select from t where id = ${id + 1000})`,
            `delete from t where id = ${id}`,
          ]));
        }
      })();
    });
    for (const [index, ddl] of ["add x1 int default 1", "add x2 text", "drop x1", "alter txt type varchar"].entries()) {
      await sql.unsafe(`alter table t ${ddl}`);
      if (index % 2 === 1) await sql.unsafe("select skyq.refresh_capture('q', 't')");
    }
    await Promise.all(writers);
    const replayed = new Map<number, number>();
    for (const { type, data } of await events()) {
      const fields = new URLSearchParams(data!);
      const id = Number(fields.get("id"));
      if (type === "I:id") expect(replayed.has(id)).toBe(false);
      else expect(replayed.has(id)).toBe(true);
      if (type === "D:id") replayed.delete(id);
      else replayed.set(id, Number(fields.get("n")));
    }
    expect([...replayed].sort((a, b) => a[0] - b[0])).toEqual(await rows("select id, n from t order by id"));
  });
});

describe("the text of an event", () => {
  it("is that of pgq.logutriga for words of every kind, in few columns or many, by row and by statement", async () => {
    const { sql, rows } = bind();
    const random = seeded("words");
    const pieces = [
      "a",
      "Z9",
      " ",
      ",",
      ":",
      "@",
      "&",
      "=",
      "+",
      "%",
      "%41",
      "'",
      "?",
      "{",
      "}",
      "\\",
      "\x01",
      "\x02",
      "\n",
      "ü",
      "漢",
      "a&b=c",
    ];
    const word = () => Array.from({ length: random.int(0, 4) }, () => random.pick(pieces)).join("");
    await sql.unsafe(`select pgq.create_queue('generic'); create type mood as enum ('so so', 'a&b', '?')`);
    for (
      const [columns, mode] of [["one", "row"], ["four", "row"], ["two", "statement"], ["four", "statement"], [
        "wide",
        "row",
      ]]
    ) {
      const types = {
        one: ["text"],
        two: ["varchar(40)", "text not null", "bytea"],
        four: ["text", "varchar(40) not null", "char(5)", "mood", "timestamptz", "int[]", "float8", "bool"],
        wide: Array.from({ length: 130 }, (_, i) => i % 3 === 0 ? "text" : "int"),
      }[columns!]!;
      await sql.unsafe(`drop table if exists w;
        create table w (id int primary key, ${types.map((type, i) => `"c &${i}+ü" ${type}`).join(", ")});
        select skyq.create_capture('q', 'w', '{}', '${mode}');
        create trigger g after insert or update or delete on w for each row execute function pgq.logutriga('generic')`);
      const value = (type: string) => {
        if (!type.endsWith("not null") && random.int(0, 5) === 0) return null;
        if (/^(text|varchar)/.test(type)) return word();
        return {
          "char(5)": random.pick(["ab", "a?"]),
          mood: random.pick(["so so", "a&b", "?"]),
          bytea: "\\x00ff26",
          timestamptz: random.pick(["2026-01-31 12:13:14.5+05:30", "infinity", "0044-03-15 01:02:03 BC"]),
          "int[]": "{1,2}",
          float8: random.pick(["1e30", "-0.1"]),
          bool: "t",
          int: "7",
        }[type] ?? null;
      };
      for (let id = 1; id <= 60; id++) {
        await sql.unsafe(
          `insert into w values ($1, ${
            types.map((type, i) => `$${i + 2}::text::${type.replace(" not null", "")}`).join(", ")
          })`,
          [String(id), ...types.map(value)] as never[],
        );
      }
      await sql.unsafe(
        "update w set id = id + 1000 where id % 7 = 0; update w set id = id; delete from w where id % 3 = 0",
      );
      const logged = (queue: string) =>
        rows(`select e.ev_type, e.ev_data from pgq.event_template e
               where e.tableoid::regclass::text like
                     (select q.queue_data_pfx || '\\_%' from pgq.queue q where q.queue_name = '${queue}')
               order by ${mode === "row" ? "e.ev_id" : 'e.ev_type, e.ev_data collate "C"'}`);
      const generated = await logged("q");
      expect(generated.length).toBeGreaterThan(100);
      expect(generated).toEqual(await logged("generic"));
      await sql.unsafe("delete from pgq.event_template");
    }
  });

  it("tells null from empty after NOT NULL was dropped, whatever the snapshot", async () => {
    const { sql, rows, value, events } = bind();
    await sql.unsafe("alter table t alter txt set not null; select skyq.create_capture('q', 't', '{}')");
    const other = database.current.connect();
    await other.unsafe("insert into t values (1, '')");
    await other.unsafe("begin isolation level repeatable read; select count(*) from pgq.queue");
    await sql.unsafe("alter table t alter txt drop not null");
    for (const text of ["insert into t values (2, null)", "commit", "insert into t values (3, null)"]) {
      await other.unsafe(text);
    }
    const third = database.current.connect();
    await third.unsafe("begin isolation level repeatable read; insert into t values (4, null); commit");
    expect((await events()).map((row) => row.data)).toEqual(["id=1&txt=", "id=2&txt", "id=3&txt", "id=4&txt"]);
    expect(await rows("select problem from skyq.check_capture('q')")).toEqual([["columns or key have changed"]]);
    expect(await value("select skyq.refresh_capture('q', 't')")).toBe(true);
    await other.unsafe("insert into t values (5, null), (6, '')");
    expect((await events()).map((row) => row.data)).toEqual(["id=5&txt", "id=6&txt="]);
  });
});

describe("an older version's capture", () => {
  it("is written anew by the next installation", async () => {
    const { sql, value, events } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}')");
    const name = await value("select function_name from skyq.capture");
    await sql.unsafe(`create or replace function skyq.${name}() returns trigger language plpgsql security definer
      set search_path = pg_catalog as 'begin raise exception ''old''; end'`);
    await database.current.install();
    await sql.unsafe("insert into t values (1, 'a')");
    expect((await events()).length).toBe(1);
    expect(await value(`select proconfig is null from pg_proc where proname = '${name}'`)).toBe(true);

    await sql.unsafe("select skyq.create_capture('q', 't', '{}', 'statement')");
    await sql.unsafe(`drop trigger _londiste_q_key on t;
      create or replace function skyq.${name}() returns trigger language plpgsql security definer
      set jit = off as 'begin raise exception ''create_capture(), form 2;''; end'`);
    await database.current.install();
    await sql.unsafe("update t set txt = 'b'; update t set id = 2 where id = 1; update t set txt = 'c'");
    expect((await events()).map((row) => row.type)).toEqual(["U:id", "D:id", "I:id", "U:id"]);
    expect(await value(`select proconfig is null from pg_proc where proname = '${name}'`)).toBe(true);
  });
});

describe("skyq.drop_capture()", () => {
  it("removes triggers, function and note, also of tables that are gone", async () => {
    const { sql, value, rows } = bind();
    await sql.unsafe("select skyq.create_capture('q', 't', '{}')");
    expect(await value("select skyq.drop_capture('q', 't')")).toBe(1);
    expect(await value("select skyq.drop_capture('q', 't')")).toBe(0);
    expect(
      await rows("select proname from pg_proc where pronamespace = 'skyq'::regnamespace and proname ~ '^capture_'"),
    )
      .toEqual([]);
    await sql.unsafe("insert into t values (1, 'a')");

    await sql.unsafe("select skyq.create_capture('q', 't', '{}'); drop table t");
    expect(await rows("select * from skyq.check_capture('q')")).toEqual([["public.t", null, "row", "table is gone"]]);
    expect(await value("select skyq.drop_capture('q', 'public.t')")).toBe(1);
    expect(await rows("select * from skyq.capture")).toEqual([]);
  });
});

describe("skyq.check_capture()", () => {
  it("finds triggers that are disabled or gone", async () => {
    const { sql, rows } = bind();
    const problem = () => rows("select problem from skyq.check_capture('q')");
    await sql.unsafe("select skyq.create_capture('q', 't', '{}')");
    expect(await problem()).toEqual([[null]]);
    await sql.unsafe("alter table t disable trigger _londiste_q_truncate");
    expect(await problem()).toEqual([["trigger is disabled"]]);
    await sql.unsafe("drop trigger _londiste_q on t");
    expect(await problem()).toEqual([["trigger is gone"]]);
    await sql.unsafe("select skyq.create_capture('q', 't', '{}'); alter table t enable trigger _londiste_q_truncate");
    expect(await problem()).toEqual([[null]]);
    await sql.unsafe("select skyq.create_capture('q', 't', '{}', 'statement'); drop trigger _londiste_q_key on t");
    expect(await problem()).toEqual([[null]]);
    await sql.unsafe("select skyq.create_capture('q', 't', '{}', 'statement'); drop trigger _londiste_q_upd on t");
    expect(await problem()).toEqual([["trigger is gone"]]);
    await sql.unsafe("select skyq.create_capture('q', 't', '{}')");
  });
});

/** The current database's methods, bound. */
function bind() {
  const { current } = database;
  return {
    sql: current.sql,
    rows: current.rows.bind(current),
    value: current.value.bind(current),
    error: current.error.bind(current),
    events: current.events.bind(current),
  };
}
