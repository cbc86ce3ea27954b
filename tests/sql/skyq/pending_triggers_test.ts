import { describe, expect, it } from "vitest";
import { useDatabase } from "./database.ts";

const database = useDatabase(`
  create table t (id int primary key, txt text);
  create function f() returns trigger language plpgsql as 'begin new.txt := tg_name; return new; end';
  create trigger "A b" before insert on t for each row execute function f();
  create trigger off before insert on t for each row when (new.id > 1) execute function f('it''s');
  alter table t disable trigger off;
  create trigger rep before update on t for each row execute function f();
  alter table t enable replica trigger rep;
  select pgq.create_queue('q')`);

describe("skyq.drop_user_triggers()", () => {
  it("puts the user's triggers away, and restore brings them back as they were", async () => {
    const { sql, rows, value, error } = bind();
    const triggers = () =>
      rows(`select pg_get_triggerdef(oid), tgenabled::text from pg_trigger
             where tgrelid = 't'::regclass and not tgisinternal order by tgname`);
    await sql.unsafe("select skyq.create_capture('q', 't', '{}')");
    const before = await triggers();
    expect(before.length).toBe(5);
    expect(await value("select skyq.drop_user_triggers('public.t')")).toBe(3);
    expect(await value("select skyq.drop_user_triggers('public.t')")).toBe(0);
    expect((await triggers()).map((row) => /_londiste_q/.test(row[0] as string))).toEqual([true, true]);
    expect(await rows("select trigger_name from skyq.pending_trigger order by 1")).toEqual([["A b"], ["off"], ["rep"]]);

    expect(await value("select skyq.restore_user_trigger('public.t', 'off')")).toBe(1);
    expect(await value("select skyq.restore_user_trigger('public.t', 'off')")).toBe(0);
    expect(await value("select skyq.restore_user_triggers('public.t')")).toBe(2);
    expect(await triggers()).toEqual(before);
    expect(await rows("select * from skyq.pending_trigger")).toEqual([]);
    expect(await error("select skyq.drop_user_triggers('nosuch')")).toBe(
      'Cannot drop triggers of table "nosuch": no such table',
    );
  });

  it("keeps what cannot be restored, and what somebody made meanwhile", async () => {
    const { sql, rows, value, error } = bind();
    await sql.unsafe("select skyq.drop_user_triggers('public.t'); alter function f() rename to g");
    expect(await error("select skyq.restore_user_triggers('public.t')")).toContain("f() does not exist");
    expect((await rows("select * from skyq.pending_trigger")).length).toBe(3);
    await sql.unsafe("create trigger off after delete on t for each row execute function g()");
    expect(await value("select skyq.restore_user_trigger('public.t', 'off')")).toBe(1);
    expect(await rows("select tgtype::int from pg_trigger where tgname = 'off'")).toEqual([[9]]);
  });
});

function bind() {
  const { current } = database;
  return {
    sql: current.sql,
    rows: current.rows.bind(current),
    value: current.value.bind(current),
    error: current.error.bind(current),
  };
}
