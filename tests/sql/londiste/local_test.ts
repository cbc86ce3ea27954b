import { beforeEach, describe, expect, it } from "vitest";
import { useDatabase } from "../skyq/database.ts";

const database = useDatabase();

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

/** Calls a function that returns a code and a note. @returns `code note` */
async function call(text: string): Promise<string> {
  const rows = await database.current.rows(`select f.ret_code, f.ret_note from londiste.${text} f`);
  return rows[0]!.join(" ");
}

async function node(queue: string, type: "root" | "branch" | "leaf", combined: string | null = null): Promise<void> {
  await database.current.sql`
    select pgq_node.register_location(${queue}, 'up', 'dbname=up', false),
           pgq_node.register_location(${queue}, 'here', 'dbname=here', false)`;
  const [row] = await database.current.sql`
    select f.ret_code from pgq_node.create_node(${queue}, ${type}, 'here', 'here_worker',
      ${type === "root" ? null : "up"}, ${type === "root" ? null : 1}, ${combined}) f`;
  expect(row!.ret_code).toBe(200);
}

/** Triggers of a table that are not the server's own: name, function, arguments, type. */
function triggers(table: string): Promise<unknown[][]> {
  return database.current.rows(`
    select t.tgname::text, regexp_replace(t.tgfoid::regproc::text, '[0-9]+$', 'N'),
           array_to_string(skyq._trigger_args(t.tgargs), ' '), t.tgtype::int
      from pg_trigger t where t.tgrelid = '${table}'::regclass and not t.tgisinternal order by t.tgname`);
}

beforeEach(async () => {
  await database.current.sql.unsafe(`
    reset all;
    delete from londiste.table_info; delete from londiste.seq_info; delete from londiste.applied_execute;
    delete from londiste.pending_fkeys;
    select pgq_node.drop_node(queue_name, node_name) from pgq_node.node_info;
    select pgq.drop_queue(queue_name, true) from pgq.queue;
    drop schema public cascade; create schema public; grant all on schema public to public;
    create table t (id int primary key, txt text); create table u (id int primary key); create table nokey (id int);
    create table parted (id int primary key) partition by range (id);
    create table part1 partition of parted for values from (1) to (10)`);
});

describe("londiste.local_add_table() on the root", () => {
  beforeEach(() => node("q", "root"));

  it("registers, tells the cascade, captures", async () => {
    const { rows, events, sql } = bind();
    expect(await call("local_add_table('q', 't')")).toBe("200 Table added: public.t");
    expect(await rows("select * from londiste.get_table_list('q')")).toEqual([
      ["public.t", true, "ok", null, null, null, null, 0, null],
    ]);
    expect(await triggers("t")).toEqual([
      ["_londiste_q", "skyq.capture_N", "q", 29],
      ["_londiste_q_truncate", "skyq.capture_N", "q", 32],
    ]);
    await sql.unsafe("insert into t values (1, 'a')");
    expect((await events()).map(({ type, data }) => [type, data])).toEqual([
      ["londiste.add-table", "public.t"],
      ["I:id", "id=1&txt=a"],
    ]);
    expect(await call("local_add_table('q', 'public.t')")).toBe("200 Table already added: public.t");
    expect(await call("local_add_table('q', 't', '{}', null, 'u')")).toBe(
      "410 Table public.t already added, but with different args: dest_table=public.t attrs=",
    );
    expect(await call("local_add_table('q', 't', '{}', 'handler=bulk')")).toBe(
      "410 Table public.t already added, but with different args: dest_table=public.t attrs=",
    );
  });

  it("refuses what cannot be replicated, and changes nothing then", async () => {
    const { rows, sql } = bind();
    await sql.unsafe("create trigger s before insert on u for each row execute function pgq.logutriga('x', 'SKIP')");
    for (
      const [args, answer] of [
        ["'q', 'nosuch'", "404 Table does not exist: public.nosuch"],
        ["'q', 'nokey'", "400 Primary key missing on table: public.nokey"],
        ["'q', 'parted'", "400 Table is partitioned, add its partitions instead: public.parted"],
        ["'nosuch', 't'", "400 No such set: nosuch"],
        ["'q', 't', '{merge_all,no_merge}'", "405 Cannot use merge-all and no-merge together"],
        ["'q', 't', '{tgflags=XIUD}'", "400 Trigger creation failed for table public.t: Bad trigger flags: XIUD"],
        ["'q', 'u'", "403 Trigger creation failed for table public.u: AFTER trigger cannot work with SKIP trigger(s)"],
      ]
    ) expect(await call(`local_add_table(${args})`)).toBe(answer);
    expect(await rows("select * from londiste.table_info")).toEqual([]);
    expect(await call("local_add_table('q', 'part1')")).toBe("200 Table added: public.part1");
    expect(await call("local_add_table('q', 'nokey', '{pkey=id}')")).toBe("200 Table added: public.nokey");
  });

  it("makes the triggers that the flags and arguments ask for", async () => {
    const { sql } = bind();
    for (
      const [args, wanted] of [
        ["{tgflags=AIU}", ["_londiste_q", "pgq.logutriga", "q", 21]],
        ["{tgflags=BIUDL}", ["_londiste_q", "pgq.logutriga", "q", 31]],
        ["{tgflags=AIUDQ,backup}", ["_londiste_q", "pgq.sqltriga", "q backup", 29]],
        ["{tgflags=AIUDJ}", ["_londiste_q", "pgq.jsontriga", "q", 29]],
        ["{tgflags=SI}", ["zzz__londiste_q", "pgq.logutriga", "q SKIP", 7]],
        ["{skip}", ["zzz__londiste_q", "pgq.logutriga", "q SKIP", 31]],
        ["{when=id>1}", ["_londiste_q", "pgq.logutriga", "q when=id>1", 29]],
        ["{backup,ignore=txt}", ["_londiste_q", "skyq.capture_N", "q backup ignore=txt", 29]],
      ] as const
    ) {
      expect(await call(`local_add_table('q', 't', '${args}')`)).toBe("200 Table added: public.t");
      const made = await triggers("t");
      expect(made.find((row) => row[0] === wanted[0])).toEqual([...wanted]);
      expect(made.find((row) => row[0] === "_londiste_q_truncate")?.slice(2)).toEqual(["q", 32]);
      expect(made.length).toBe(2);
      expect(await call("local_remove_table('q', 't')")).toBe("200 Table removed: public.t");
      expect(await triggers("t")).toEqual([]);
    }
    expect(await call("local_add_table('q', 't', '{no_triggers}')")).toBe("200 Table added with no triggers: public.t");
    expect(await call("local_add_table('q', 'far.away', '{virtual_table}')")).toBe(
      "200 Table added with no triggers: far.away",
    );
    expect(await triggers("t")).toEqual([]);
    await sql.unsafe(`create function f() returns trigger language plpgsql as 'begin return null; end';
      create trigger "First" after update on u for each row execute function f();
      create trigger "Other" before update on u for each row execute function f();
      create trigger "Statement" after update on u execute function f()`);
    expect(await call("local_add_table('q', 'u')")).toBe(
      "301 Table added: public.u, but londiste trigger is not first: First",
    );
  });

  it("lives with one trigger that suppresses writes, by letting it be the last", async () => {
    const { sql } = bind();
    await sql.unsafe("create trigger s before insert on t for each row execute function pgq.logutriga('x', 'SKIP')");
    expect(await call("local_add_table('q', 't', '{skip}')")).toBe("200 Table added: public.t");
    expect(await triggers("t")).toEqual([
      ["_londiste_q", "pgq.logutriga", "q", 31],
      ["_londiste_q_truncate", "pgq.sqltriga", "q", 32],
      ["zzz_s", "pgq.logutriga", "x SKIP", 7],
    ]);
    await sql.unsafe(`create trigger s1 before insert on u for each row execute function pgq.logutriga('x', 'SKIP');
      create trigger s2 before insert on u for each row execute function pgq.logutriga('y', 'SKIP')`);
    expect(await call("local_add_table('q', 'u', '{skip}')")).toBe(
      "405 Trigger creation failed for table public.u: Multiple SKIP triggers",
    );
  });

  it("adds a table that has another name here, once", async () => {
    const { sql, events } = bind();
    await sql.unsafe(`create schema "S 1"; create table "S 1"."T.x" (id int primary key)`);
    expect(await call("local_add_table('q', 'far.away', '{}', null, 'S 1.T.x')")).toBe(
      "200 Table added: far.away(S 1.T.x)",
    );
    expect(await call("local_add_table('q', 'S 1.T.x')")).toBe(
      "405 Table S 1.T.x is already used here for table far.away",
    );
    await events();
    await sql.unsafe(`insert into "S 1"."T.x" values (1)`);
    expect(await events()).toEqual([{ type: "I:id", data: "id=1", table: "far.away", backup: null }]);
    expect(await call("local_remove_table('q', 'far.away')")).toBe("200 Table removed: far.away");
    expect(await triggers(`"S 1"."T.x"`)).toEqual([]);
    await sql.unsafe(`drop schema "S 1" cascade`);
  });

  it("is undone by local_remove_table(), which tells the cascade", async () => {
    const { rows, events, sql } = bind();
    await sql.unsafe("create table s (id serial primary key)");
    await call("local_add_table('q', 's')");
    await call("local_add_seq('q', 's_id_seq')");
    await events();
    expect(await call("local_remove_table('q', 's')")).toBe("200 Table removed: public.s");
    expect((await events()).map(({ type, data }) => `${type} ${data}`)).toEqual([
      "londiste.remove-seq public.s_id_seq",
      "londiste.remove-table public.s",
    ]);
    expect(await rows("select * from londiste.table_info")).toEqual([]);
    expect(await call("local_remove_table('q', 's')")).toBe("400 Table not found: public.s");
  });

  it("shows what is missing: no registered ones, none of the system", async () => {
    const { rows, sql } = bind();
    await sql.unsafe("create sequence s1; create sequence s2; create temp table tmp (id int)");
    await call("local_add_table('q', 't')");
    await call("local_add_seq('q', 's1')");
    expect(await rows("select * from londiste.local_show_missing('q')")).toEqual([
      ["S", "public.s2"],
      ["r", "public.nokey"],
      ["r", "public.part1"],
      ["r", "public.u"],
    ]);
    await sql.unsafe("drop table tmp");
  });
});

describe("londiste.local_add_table() elsewhere", () => {
  it("takes tables that the queue carries; on a leaf others may not write them", async () => {
    const { rows, error, sql } = bind();
    await node("q", "leaf");
    expect(await call("local_add_table('q', 't')")).toBe("404 Table not available on queue: public.t");
    expect(await call("global_add_table('q', 't')")).toBe("200 Table added: public.t");
    expect(await call("global_add_table('q', 't')")).toBe("200 Table already added: public.t");
    expect(await call("global_add_table('nosuch', 't')")).toBe("400 No such queue: nosuch");
    expect(await rows("select * from londiste.local_show_missing('q')")).toEqual([["r", "public.t"]]);
    expect(await call("local_add_table('q', 't', '{skip_truncate}', 'copy_node=x')")).toBe("200 Table added: public.t");
    expect(await rows("select * from londiste.get_table_list('q')")).toEqual([
      ["public.t", true, null, null, "copy_node=x&skip_truncate=1", null, null, 0, null],
    ]);
    expect(await triggers("t")).toEqual([
      ["_londiste_q", "pgq.logutriga", "q deny", 29],
      ["_londiste_q_truncate", "pgq.sqltriga", "q deny", 32],
    ]);
    expect(await error("insert into t values (1, 'a')")).toContain("change not allowed (INSERT)");
    expect(await error("truncate t")).toContain("change not allowed (TRUNCATE)");
    await sql.unsafe("select londiste.set_session_replication_role('replica', false); insert into t values (1, 'a')");

    expect(await call("local_remove_table('q', 't')")).toBe("200 Table removed: public.t");
    expect(await call("local_remove_table('q', 't')")).toBe("400 Table not registered locally: public.t");
    expect(await rows("select * from londiste.get_table_list('q')")).toEqual([
      ["public.t", false, null, null, null, null, null, 0, null],
    ]);
    expect(await triggers("t")).toEqual([]);
    expect(await call("local_add_table('q', 't', '{expect_sync}')")).toBe("200 Table added: public.t");
    expect(await rows("select merge_state from londiste.table_info")).toEqual([["ok"]]);
    expect(await call("global_remove_table('q', 't')")).toBe("200 Table removed: public.t");
    expect(await call("global_remove_table('q', 't')")).toBe("400 Table not found: public.t");
    expect(await triggers("t")).toEqual([]);
  });

  it("captures on a branch, silently while the worker writes, and aloud when it is root", async () => {
    const { sql, events } = bind();
    await node("q", "branch");
    await call("global_add_table('q', 't')");
    await call("local_add_table('q', 't')");
    expect((await triggers("t"))[0]!.slice(0, 2)).toEqual(["_londiste_q", "skyq.capture_N"]);
    await sql.unsafe(
      "set session_replication_role = replica; insert into t values (1, 'a'); reset session_replication_role",
    );
    expect(await events()).toEqual([]);
    await sql.unsafe("update pgq.queue set queue_disable_insert = false; insert into t values (2, 'a')");
    expect((await events()).map((row) => row.data)).toEqual(["id=2&txt=a"]);
  });

  it("wants to be told what to do with several sources", async () => {
    const { rows } = bind();
    for (const queue of ["q1", "q2", "q3"]) {
      await node(queue, "leaf");
      await call(`global_add_table('${queue}', 't')`);
    }
    expect(await call("local_add_table('q1', 't')")).toBe(
      "405 Found multiple sources for table public.t, use merge-all or no-merge to continue",
    );
    expect(await call("local_add_table('q1', 't', '{no_merge}')")).toBe("200 Table added: public.t");
    expect(await call("local_add_table('q2', 't')")).toBe(
      "405 Found local table public.t in queue q1, use remove-table first to remove all previous table subscriptions",
    );
    expect(await call("local_remove_table('q1', 't')")).toBe("200 Table removed: public.t");
    expect(await call("local_add_table('q2', 't', '{merge_all}')")).toBe("200 Table added: public.t");
    expect(await rows("select queue_name, local from londiste.table_info order by 1")).toEqual([
      ["q1", true],
      ["q2", true],
      ["q3", true],
    ]);
    expect((await triggers("t")).length).toBe(6);
  });

  it("adds the table to the combined queue as well", async () => {
    const { rows } = bind();
    await node("all", "root");
    await node("q1", "leaf", "all");
    await call("global_add_table('q1', 't')");
    expect(await call("local_add_table('q1', 't')")).toBe("200 Table added: public.t");
    expect(await rows("select queue_name, merge_state from londiste.table_info where local order by 1")).toEqual([
      ["all", "ok"],
      ["q1", null],
    ]);
  });

  it("gives the copies of a merged table their parts", async () => {
    const { rows, sql } = bind();
    for (const queue of ["q1", "q2"]) {
      await node(queue, "leaf");
      await call(`global_add_table('${queue}', 't')`);
    }
    await call("local_add_table('q1', 't', '{merge_all}')");
    const roles = () =>
      rows(`select l.copy_role, l.copy_pos from unnest('{q1,q2}'::text[]) q, londiste.get_table_list(q) l order by q`);
    const state = (queue: string, value: string | null) =>
      call(`local_set_table_state('${queue}', 't', null, '${value}')`);
    expect(await roles()).toEqual([[null, 0], [null, 0]]);
    await state("q2", "in-copy");
    expect(await roles()).toEqual([[null, 0], [null, 0]]);
    await state("q1", "in-copy");
    expect(await roles()).toEqual([["lead", 0], ["wait-copy", 1]]);
    await sql.unsafe("select londiste.local_set_table_struct('q1', 't', 'create index on public.t (txt)')");
    expect(await roles()).toEqual([["lead", 0], ["wait-replay", 1]]);
    await state("q2", "catching-up");
    expect(await roles()).toEqual([["lead", 0], ["wait-replay", 1]]);
    await sql.unsafe("select londiste.local_set_table_struct('q1', 't', null)");
    await state("q1", "catching-up");
    expect(await roles()).toEqual([[null, 0], [null, 0]]);
  });
});

describe("a local table's", () => {
  beforeEach(async () => {
    await node("q", "leaf");
    await call("global_add_table('q', 't')");
    await call("local_add_table('q', 't', '{skip_truncate}', 'a=1')");
  });

  it("state", async () => {
    const { rows } = bind();
    expect(await call("local_set_table_state('q', 't', '1:2:', 'in-copy')")).toBe(
      "200 Table public.t state set to 'in-copy'",
    );
    expect(await rows("select custom_snapshot, merge_state, table_attrs from londiste.table_info")).toEqual([
      ["1:2:", "in-copy", "a=1&skip_truncate=1"],
    ]);
    await call("local_set_table_state('q', 't', null, 'ok')");
    expect(await rows("select custom_snapshot, merge_state, table_attrs from londiste.table_info")).toEqual([
      [null, "ok", "a=1"],
    ]);
    expect(await call("local_set_table_state('q', 't', null, null)")).toBe("200 Table public.t state set to NULL");
    expect(await call("local_set_table_state('q', 'u', null, 'ok')")).toBe("404 No such table: public.u");
    await call("local_remove_table('q', 't')");
    expect(await call("local_set_table_state('q', 't', null, 'ok')")).toBe("404 No such table: public.t");
  });

  it("attributes and dropped structure", async () => {
    const { rows, error, sql } = bind();
    expect(await call("local_set_table_attrs('q', 't', 'x=y')")).toBe("200 Table attributes set: public.t");
    expect(await call("local_set_table_attrs('q', 'u', 'x=y')")).toBe("404 no such local table: public.u");
    expect(await call("local_set_table_struct('q', 'u', 'x')")).toBe("404 no such local table: public.u");
    await call("local_set_table_state('q', 't', null, 'ok')");
    expect(await error("select londiste.local_set_table_struct('q', 't', 'x')")).toContain("table_info_check");
    await call("local_set_table_state('q', 't', null, 'in-copy')");
    expect(await call("local_set_table_struct('q', 't', 'create index i on public.t (txt)')")).toBe(
      "200 Table struct stored: public.t",
    );
    await sql.unsafe(
      "set session_replication_role = replica; insert into t values (1, 'half'); reset session_replication_role",
    );
    await call("local_remove_table('q', 't')");
    expect(await rows("select to_regclass('public.i')::text, (select count(*)::int from t)")).toEqual([["i", 0]]);
  });

  it("handler", async () => {
    const { rows } = bind();
    expect(await call("local_change_handler('q', 't', '{ignore=txt}', 'handler=bulk')")).toBe(
      "200 Handler changed for table: public.t",
    );
    expect(await rows("select table_attrs from londiste.table_info")).toEqual([["handler=bulk"]]);
    expect((await triggers("t"))[0]![2]).toBe("q ignore=txt deny");
    expect(await call("local_change_handler('q', 't', '{no_triggers}', null)")).toBe(
      "200 Handler changed for table: public.t",
    );
    expect(await triggers("t")).toEqual([]);
    expect(await call("local_change_handler('q', 'u', '{}', null)")).toBe("404 no such local table: public.u");
    expect(await call("local_change_handler('nosuch', 't', '{}', null)")).toBe("400 No such set: nosuch");
  });

  it("triggers go when the node goes", async () => {
    const { sql } = bind();
    await sql.unsafe("select pgq_node.drop_node('q', 'here')");
    expect(await triggers("t")).toEqual([]);
  });
});

describe("sequences", () => {
  beforeEach(() => database.current.sql.unsafe("create sequence s; select setval('s', 123)"));

  it("are published ahead on the root", async () => {
    const { rows, events, sql } = bind();
    await node("q", "root");
    expect(await call("local_add_seq('q', 's')")).toBe("200 Sequence added: public.s");
    expect(await call("local_add_seq('q', 's')")).toBe("201 Sequence already added: public.s");
    expect(await call("local_add_seq('q', 'nosuch')")).toBe("400 Sequence not found: public.nosuch");
    expect(await rows("select * from londiste.get_seq_list('q')")).toEqual([["public.s", "30123", true]]);
    for (
      const [reached, buffer, published] of [[20122, 10000, 30123], [20123, 10000, 50123], [50000, 100, 50123], [
        50023,
        100,
        50323,
      ]]
    ) {
      await sql.unsafe(`select setval('s', ${reached})`);
      expect(await call(`root_check_seqs('q', ${buffer})`)).toBe("100 Sequences updated");
      expect(await rows("select last_value from londiste.seq_info")).toEqual([[String(published)]]);
    }
    expect((await events()).map((row) => `${row.type} ${row.data} ${row.table}`)).toEqual(
      [30123, 50123, 50323].map((value) => `londiste.update-seq ${value} public.s`),
    );
    expect(await call("global_update_seq('q', 's', 5)")).toBe("402 Must not run on root node");
    expect(await call("local_remove_seq('q', 's')")).toBe("200 Sequence removed: public.s");
    expect(await call("local_remove_seq('q', 's')")).toBe("400 Sequence not found: public.s");
    expect((await events()).map((row) => `${row.type} ${row.data}`)).toEqual(["londiste.remove-seq public.s"]);
    expect(await call("root_check_seqs('nosuch')")).toBe("404 Queue not found: nosuch");
  });

  it("follow elsewhere, never backwards", async () => {
    const { rows, value } = bind();
    await node("q", "leaf");
    expect(await call("root_check_seqs('q')")).toBe("402 Not a root node");
    expect(await call("local_add_seq('q', 's')")).toBe("404 Unknown sequence: public.s");
    expect(await call("global_update_seq('q', 's', 60)")).toBe("200 Sequence updated");
    expect(await call("local_add_seq('q', 's')")).toBe("200 Sequence added: public.s");
    expect(await value("select last_value::int from s")).toBe(123);
    await call("global_update_seq('q', 's', 500)");
    expect(await value("select last_value::int from s")).toBe(500);
    expect(await call("local_remove_seq('q', 's')")).toBe("200 Sequence removed: public.s");
    expect(await call("local_remove_seq('q', 's')")).toBe("400 Sequence not found: public.s");
    expect(await rows("select * from londiste.get_seq_list('q')")).toEqual([["public.s", "500", false]]);
    expect(await call("global_remove_seq('q', 's')")).toBe("200 Sequence removed: public.s");
    expect(await call("global_remove_seq('q', 's')")).toBe("400 Sequence not found: public.s");
    expect(await call("global_update_seq('nosuch', 's', 1)")).toBe("404 Set not found: nosuch");
  });
});

describe("foreign keys", () => {
  const FKEY = [
    "public.child",
    "public.t",
    "fk'1",
    `alter table only public.child add constraint "fk'1" ` +
    "FOREIGN KEY (t_id) REFERENCES public.t(id) ON DELETE CASCADE",
  ];

  beforeEach(async () => {
    await database.current.sql.unsafe(`
      create table child (id int primary key, t_id int constraint "fk'1" references t on delete cascade);
      create table loner (id int primary key, t_id int constraint fk2 references t)`);
    await node("q", "leaf");
    for (const table of ["t", "child"]) {
      await call(`global_add_table('q', '${table}')`);
      await call(`local_add_table('q', '${table}', '{no_triggers}')`);
    }
  });

  it("are found from both ends, dropped, and remembered", async () => {
    const { rows, value } = bind();
    expect((await rows("select * from londiste.find_table_fkeys('t')")).map((row) => row[2])).toEqual(["fk'1", "fk2"]);
    expect(await rows("select * from londiste.find_table_fkeys('public.child')")).toEqual([FKEY]);
    expect(await value(`select londiste.drop_table_fkey('public.child', 'nosuch')`)).toBe(0);
    expect(await value(`select londiste.drop_table_fkey('public.t', 'fk''1')`)).toBe(0);
    expect(await value(`select londiste.drop_table_fkey('public.child', 'fk''1')`)).toBe(1);
    expect(await value(`select londiste.drop_table_fkey('public.child', 'fk''1')`)).toBe(0);
    expect(await rows("select * from londiste.find_table_fkeys('child')")).toEqual([]);
    expect(await rows("select * from londiste.get_table_pending_fkeys('public.t')")).toEqual([FKEY]);
    expect(await rows("select * from londiste.get_table_pending_fkeys('public.child')")).toEqual([FKEY]);
  });

  it("may be restored when both tables are in sync", async () => {
    const { rows, value, sql } = bind();
    const valid = () => rows("select fkey_name from londiste.get_valid_pending_fkeys('q')");
    await sql.unsafe(`select londiste.drop_table_fkey('child', 'fk''1'), londiste.drop_table_fkey('loner', 'fk2')`);
    expect(await valid()).toEqual([]);
    await call("local_set_table_state('q', 't', null, 'ok')");
    expect(await valid()).toEqual([]);
    await call("local_set_table_state('q', 'child', '1:2:', 'ok')");
    expect(await valid()).toEqual([]);
    await call("local_set_table_state('q', 'child', null, 'ok')");
    expect(await valid()).toEqual([["fk'1"]]);
    expect(await value(`select londiste.restore_table_fkey('child', 'fk''1')`)).toBe("");
    expect(await rows("select * from londiste.find_table_fkeys('child')")).toEqual([FKEY]);
    expect(await valid()).toEqual([]);
    expect(await value(`select londiste.restore_table_fkey('child', 'fk''1')`)).toBe("");
  });

  it("are restored in steps, and stay pending when the rows violate them", async () => {
    const { rows, value, error, sql } = bind();
    const next = () => value(`select londiste.restore_table_fkey('child', 'fk''1', true)`) as Promise<string>;
    await sql.unsafe(`select londiste.drop_table_fkey('child', 'fk''1'); insert into child values (1, 77)`);
    expect(await error(`select londiste.restore_table_fkey('child', 'fk''1')`)).toContain("violates foreign key");
    expect(await rows("select * from londiste.pending_fkeys")).toEqual([FKEY]);
    const add = await next();
    expect(add).toBe(`${FKEY[3]} not valid`);
    await sql.unsafe(add);
    const validate = await next();
    expect(validate).toBe(`alter table only public.child validate constraint "fk'1"`);
    expect(await error(validate)).toContain("violates foreign key");
    await sql.unsafe("insert into t values (77, 'a')");
    await sql.unsafe(validate);
    expect(await next()).toBe("");
    expect(await rows("select * from londiste.pending_fkeys")).toEqual([]);
    expect(await rows("select * from londiste.find_table_fkeys('child')")).toEqual([FKEY]);
  });

  it("that were not valid before are not validated", async () => {
    const { rows, value, sql } = bind();
    await sql.unsafe(`alter table child drop constraint "fk'1";
      insert into child values (1, 77); alter table child add constraint nv foreign key (t_id) references t not valid`);
    await sql.unsafe("select londiste.drop_table_fkey('child', 'nv')");
    await sql.unsafe(await value("select londiste.restore_table_fkey('child', 'nv', true)") as string);
    expect(await value("select londiste.restore_table_fkey('child', 'nv', true)")).toBe("");
    expect(await rows("select convalidated from pg_constraint where conname = 'nv'")).toEqual([[false]]);
  });
});

describe("scripts", () => {
  it("run once per database and reach the queue on the root", async () => {
    const { events, rows } = bind();
    await node("q", "root");
    expect(await call("execute_start('q', 'f.sql', 'select 1', true, 'a=b')")).toBe("200 Executing: f.sql");
    expect(await call("execute_finish('q', 'f.sql')")).toBe("200 Execute finished: f.sql");
    expect(await call("execute_start('q', 'f.sql', 'select 1', true)")).toBe(
      '201 EXECUTE: "f.sql" already applied, skipping',
    );
    expect(await call("execute_start('q', 'g.sql', 'select 2', true)")).toBe("200 Executing: g.sql");
    await call("execute_finish('q', 'g.sql')");
    expect(await events()).toEqual([
      { type: "EXECUTE", data: "select 1", table: "f.sql", backup: "a=b" },
      { type: "EXECUTE", data: "select 2", table: "g.sql", backup: "" },
    ]);
    expect(await call("execute_finish('q', 'h.sql')")).toBe("404 execute_file called without execute_start");
    expect(await call("execute_start('nosuch', 'h.sql', '', true)")).toBe("404 Queue not found: nosuch");
    await database.current.sql.unsafe(
      "update londiste.applied_execute set execute_time = now() - interval '4 months' where execute_file = 'f.sql'",
    );
    await database.current.sql.unsafe("select londiste.periodic_maintenance()");
    expect(await rows("select execute_file from londiste.applied_execute")).toEqual([["g.sql"]]);
  });

  it("do not start elsewhere when the root is expected", async () => {
    const { error, events } = bind();
    await node("q", "branch");
    expect(await call("execute_start('q', 'f.sql', 'select 1', true)")).toBe("401 Node is not root node: q");
    expect(await call("execute_start('q', 'f.sql', 'select 1', false)")).toBe("200 Executing: f.sql");
    expect(await call("execute_finish('q', 'f.sql')")).toBe("200 Execute finished: f.sql");
    expect(await events()).toEqual([]);
    expect(await error("select londiste.root_notify_change('q', 'a', 'b')")).toBe("only root node can send events");
  });
});

describe("partitions", () => {
  beforeEach(() =>
    database.current.sql.unsafe(`
      create table p (id int, ts timestamptz, txt text default 'x');
      create index on p (ts); grant select on p to pgq_reader with grant option; grant insert on p to public;
      create function f() returns trigger language plpgsql as 'begin return null; end';
      create trigger tr after insert on p for each row execute function f(' ON public.p ');
      create rule ru as on delete to p do also select ' TO public.p ' as x`)
  );

  it("are made like their parent, once", async () => {
    const { rows, value, error } = bind();
    const create = (name: string, field = "'ts'", period = "month") =>
      value(`select londiste.create_partition('public.p', '${name}', 'id, ts', ${field}, '2026-02-15', '${period}')`);
    expect(await create("public.p_2026_02")).toBe(1);
    expect(await create("public.p_2026_02")).toBe(0);
    expect(await create("public.P x_2026_02_15", "null", "daily")).toBe(1);
    expect(
      await rows(`select conname::text, pg_get_constraintdef(oid) from pg_constraint
                        where conrelid = 'p_2026_02'::regclass and contype <> 'n' order by 1`),
    ).toEqual([
      ["p_2026_02_pkey", "PRIMARY KEY (id, ts)"],
      [
        "p_2026_02_ts_check",
        "CHECK (((ts >= '2026-02-01 00:00:00+00'::timestamp with time zone) AND " +
        "(ts < '2026-03-01 00:00:00+00'::timestamp with time zone)))",
      ],
    ]);
    expect(
      await rows(`select pg_get_triggerdef(oid) from pg_trigger where tgrelid = 'p_2026_02'::regclass
                       union all select pg_get_ruledef(oid) from pg_rewrite where ev_class = 'p_2026_02'::regclass`),
    ).toEqual([
      ["CREATE TRIGGER tr AFTER INSERT ON public.p_2026_02 FOR EACH ROW EXECUTE FUNCTION f(' ON public.p ')"],
      ["CREATE RULE ru AS\n    ON DELETE TO public.p_2026_02 DO  SELECT ' TO public.p '::text AS x;"],
    ]);
    expect(
      await rows(`select a.grantee::regrole::text, a.privilege_type, a.is_grantable
                         from pg_class c, aclexplode(c.relacl) a
                        where c.oid = 'p_2026_02'::regclass and a.grantee <> c.relowner order by 2`),
    ).toEqual([
      ["-", "INSERT", false],
      ["pgq_reader", "SELECT", true],
    ]);
    expect(await error("select londiste.create_partition('public.p', 'public.x', '', 'ts', now(), 'week')")).toBe(
      "not supported i_partition_period: week",
    );
    expect(await error("select londiste.create_partition('public.nosuch', 'public.x', '', 'ts', now(), 'day')")).toBe(
      'relation "public.nosuch" does not exist',
    );
  });

  it("are dropped when their time is over", async () => {
    const { rows, sql, error } = bind();
    const months = [-5, -2, -1, 0].map((offset) => {
      const now = new Date();
      return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1)).toISOString().slice(0, 7).replace(
        "-",
        "_",
      );
    });
    for (const month of [...months, "notime"]) await sql.unsafe(`create table p_${month} () inherits (p)`);
    await sql.unsafe("create table q_2020_01 (id int)");
    expect(await rows("select londiste.list_obsolete_partitions('public.p', '1 month', 'monthly')")).toEqual([
      [`public.p_${months[0]}`],
      [`public.p_${months[1]}`],
    ]);
    expect(await rows("select londiste.drop_obsolete_partitions('public.p', '3 months', 'month')")).toEqual([
      [`public.p_${months[0]}`],
    ]);
    expect(await rows(`select to_regclass('p_${months[0]}')::text, to_regclass('p_${months[1]}') is not null`)).toEqual(
      [
        [null, true],
      ],
    );
    expect(
      await rows(`select londiste.is_obsolete_partition('public.p_2020', '1 day', 'year'),
                         londiste.is_obsolete_partition('public.p_2020_02_29', '1 day', 'day'),
                         londiste.is_obsolete_partition('public.p_2020_02_29_23', '1 day', 'hourly'),
                         londiste.is_obsolete_partition('public.p_2020', '1 day', 'month')`),
    ).toEqual([[true, true, true, false]]);
    expect(await error("select londiste.is_obsolete_partition('public.p_2020', '1 day', 'x')")).toBe(
      "not supported i_partition_period: x",
    );
  });
});

describe("names", () => {
  it("are split at the first dot and quoted", async () => {
    const { rows } = bind();
    expect(
      await rows(`select londiste.make_fqname('b'), londiste.make_fqname('a.b.c'), londiste.quote_fqname('a.b.c'),
                         londiste.quote_fqname('Ab'), londiste.split_fqname('a.b.c')::text, londiste.split_fqname('c')::text,
                         londiste.find_table_oid('t')::regclass::text, londiste.find_table_oid('nosuch'),
                         londiste.find_seq_oid('t'), londiste.find_column_types('t'), londiste.version()`),
    ).toEqual([[
      "public.b",
      "a.b.c",
      'a."b.c"',
      'public."Ab"',
      "(a,b.c)",
      "(public,c)",
      "t",
      null,
      null,
      "kv",
      "3.8",
    ]]);
  });
});

describe("londiste.set_session_replication_role()", () => {
  it("sets it for the session or the transaction, nothing else", async () => {
    const { error, value, sql } = bind();
    const role = () => value("show session_replication_role");
    expect(await error("select londiste.set_session_replication_role('x', false)")).toBe(
      "bad value for session_replication_role",
    );
    expect(await error("select londiste.set_session_replication_role(null, false)")).toBe(
      "bad value for session_replication_role",
    );
    await sql.unsafe("begin; select londiste.set_session_replication_role('local', true)");
    expect(await role()).toBe("local");
    await sql.unsafe("commit");
    expect(await role()).toBe("origin");
    await sql.unsafe("select londiste.set_session_replication_role('replica', false)");
    expect(await role()).toBe("replica");
  });
});
