/** `preflight`: what it prints for plain roles is exactly what the quick start needs. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster } from "../../harness/cluster.ts";
import { LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

const [READER, WRITER] = ["reads it", "writes"];

interface Row {
  side: "provider" | "subscriber";
  what: string;
  state: "ok" | "lacks" | "note";
  detail: string;
  statement: string | null;
  by: string | null;
}

describe("preflight", () => {
  let cluster: Cluster;
  let job: Job;

  beforeAll(async () => {
    cluster = await Cluster.start({ name: "preflight" });
    const [provider, subscriber] = [new LentDatabase(cluster, "p"), new LentDatabase(cluster, "the subscriber")];
    await cluster.sql("postgres", `create role "${READER}" login; create role ${WRITER} login; create role shopapp`);
    for (const database of [provider, subscriber]) {
      await cluster.createDatabase(database.name);
      await database.sql(`
        revoke all on database "${database.name}" from public;
        create schema "the Shop" authorization shopapp;
        set role shopapp;
        create table "the Shop".orders (id serial primary key, name text);
        create table "the Shop"."It""s" (id integer primary key,
          order_id integer constraint it_order references "the Shop".orders);
        create table "the Shop".hidden (id integer primary key);
        create table "the Shop".logged (id integer primary key, by text);
        create table "the Shop".keyless (id integer);`);
    }
    await provider.sql(`
      insert into "the Shop".orders (name) select 'n' || i from generate_series(1, 100) i;
      insert into "the Shop"."It""s" select i, i from generate_series(1, 100) i;
      insert into "the Shop".hidden select i from generate_series(1, 10) i;
      alter table "the Shop".hidden enable row level security;`);
    await subscriber.sql(`
      create function stamp() returns trigger language plpgsql as $$ begin new.by := 'fired'; return new; end $$;
      create trigger stamp before insert on "the Shop".logged for each row execute function stamp();`);
    job = new Job({
      provider,
      subscriber,
      settings: {
        provider_db: `host=${cluster.host} port=${cluster.port} dbname=p user='${READER}'`,
        subscriber_db: `host=${cluster.host} port=${cluster.port} dbname='the subscriber' user=${WRITER}`,
        // Before PostgreSQL 15 nobody can grant the other way.
        ...(cluster.major < 15 ? { drop_triggers: "1" } : {}),
      },
    });
  });

  afterAll(async () => {
    await job?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const NAMES = ["the Shop.orders", `the Shop.It"s`, "the Shop.hidden", "the Shop.logged", "the Shop.orders_id_seq"];

  async function look(...names: string[]): Promise<{ code: number; rows: Row[] }> {
    const { code, stdout, stderr } = await job.try("preflight", "conf.ini", ...names, "--json");
    expect(stderr).toBe("");
    const rows = stdout.trim().split("\n").map((line) => JSON.parse(line) as Row);
    expect(code).toBe(rows.some((row) => row.state === "lacks") ? 1 : 0);
    return { code, rows };
  }

  /** Runs what was printed on the side it was printed for. */
  async function grant(rows: readonly Row[]): Promise<void> {
    for (const { side, statement, state } of rows) {
      if (state === "lacks" && statement !== null) await job[side].sql(statement);
    }
  }

  it("says that neither side can be reached, and by what right it would be", async () => {
    const { rows } = await look(...NAMES);
    expect(rows.map(({ side, what, state, statement }) => ({ side, what, state, statement }))).toEqual([
      { side: "provider", what: "connect", state: "lacks", statement: `GRANT CONNECT ON DATABASE "p" TO "${READER}";` },
      {
        side: "subscriber",
        what: "connect",
        state: "lacks",
        statement: `GRANT CONNECT ON DATABASE "the subscriber" TO "${WRITER}";`,
      },
    ]);
    await grant(rows);
  });

  it("names every right that is missing, and the statements are enough", async () => {
    const { rows } = await look(...NAMES);
    const statements = rows.filter(({ state }) => state === "lacks").map(({ side, statement }) =>
      `${side} ${statement}`
    );
    expect(statements).toEqual(expect.arrayContaining([
      `provider GRANT CREATE ON DATABASE p TO "${READER}";`,
      `provider GRANT USAGE ON SCHEMA "the Shop" TO "${READER}";`,
      `provider GRANT SELECT, TRIGGER ON "the Shop"."It""s" TO "${READER}";`,
      `provider CREATE POLICY skyq_reads ON "the Shop".hidden FOR SELECT TO "${READER}" USING (true);`,
      `provider GRANT SELECT ON SEQUENCE "the Shop".orders_id_seq TO "${READER}";`,
      `subscriber GRANT CREATE ON DATABASE "the subscriber" TO writes;`,
      `subscriber GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON "the Shop".logged TO writes;`,
      `subscriber GRANT shopapp TO writes;`,
      `subscriber GRANT SELECT, UPDATE ON SEQUENCE "the Shop".orders_id_seq TO writes;`,
    ]));
    const triggers = rows.find(({ what }) => what === "triggers")!;
    if (cluster.major < 15) expect(triggers.state).toBe("note");
    else {
      expect(triggers).toMatchObject({
        state: "lacks",
        by: "superuser",
        statement: "GRANT SET ON PARAMETER session_replication_role TO writes;",
      });
      expect(triggers.detail).toContain("stamp of the Shop.logged");
    }
    await grant(rows);
    const again = await look(...NAMES);
    expect(again.rows.filter(({ state }) => state === "lacks")).toEqual([]);
    expect(again.code).toBe(0);
  });

  it("looks at a table that the subscriber lacks before anything is installed", async () => {
    await job.provider.sql(`create table "the Shop".only_here (id integer primary key); alter table "the Shop".only_here
      owner to shopapp; grant select, trigger on "the Shop".only_here to "${READER}"`);
    const { code, rows } = await look("the Shop.only_here");
    expect(rows.find(({ side, what }) => side === "subscriber" && what === "table the Shop.only_here")).toMatchObject({
      state: "note",
      detail: "it is missing: make it, or let `subscriber add --create` do it",
    });
    expect(code).toBe(0);

    await job.subscriber.sql("create schema closed");
    await job.provider.sql(`create schema closed; grant usage on schema closed to "${READER}";
      create table closed.t (id integer primary key); grant select, trigger on closed.t to "${READER}"`);
    const closed = (await look("closed.t")).rows.filter(({ side, what }) =>
      side === "subscriber" && what === "table closed.t"
    );
    expect(closed.map(({ detail }) => detail)).toEqual([
      "it is missing: make it, or let `subscriber add --create` do it",
      expect.stringMatching(
        /^`--create` cannot yet: role .* may not create in schema "closed"; let the owner run: GRANT /,
      ),
    ]);
  });

  it("the table is for people, the statements for psql", async () => {
    await job.provider.sql(`revoke select on "the Shop".orders from "${READER}"`);
    const { code, stdout } = await job.try("preflight", "conf.ini", "the Shop.orders");
    expect(code).toBe(1);
    expect(stdout).toMatch(/^side +what +state +detail\n/);
    expect(stdout).toMatch(/provider +table the Shop\.orders +lacks +lacks SELECT on "the Shop"\.orders/);
    expect(stdout).toContain(
      `\n-- on the provider, as the owner, or a superuser:\nGRANT SELECT ON "the Shop".orders TO "${READER}";\n`,
    );
    await job.provider.sql(`grant select on "the Shop".orders to "${READER}"`);
  });

  it("names what cannot be replicated, and what stands for nothing", async () => {
    const { rows } = await look("the Shop.keyless", "nowhere");
    const lacks = rows.filter(({ state }) => state === "lacks").map(({ detail }) => detail);
    expect(lacks).toContain("Table the Shop.keyless has no primary key");
    expect(lacks).toContain("no table or sequence matches nowhere");
  });

  it("the whole quick start works with these rights and no other", async () => {
    await job.install();
    job.startReplay();
    await job.add(...NAMES.slice(0, 4));
    await job.run("provider", "add-seq", "conf.ini", NAMES[4]!);
    await job.run("subscriber", "add-seq", "conf.ini", NAMES[4]!);
    await job.provider.sql(
      `insert into "the Shop".logged values (1, 'nobody'); delete from "the Shop".hidden where id = 3;
      update "the Shop".orders set name = 'changed' where id = 7`,
    );
    await job.caughtUp();
    expect(await job.differences(`"the Shop".orders`, `"the Shop"."It""s"`, `"the Shop".hidden`, `"the Shop".logged`))
      .toEqual([]);
    await waitFor(
      async () =>
        (await job.subscriber.sql("select convalidated from pg_constraint where conname = 'it_order'")).trim() === "t",
      { what: "the foreign key" },
    );
    await waitFor(
      async () => Number(await job.subscriber.sql(`select last_value from "the Shop".orders_id_seq`)) > 100,
      { what: "the sequence" },
    );
  });

  it("a table that is missing is made, for its owner, by the same role", async () => {
    await job.provider.sql(`set role shopapp;
      create table "the Shop".late (id serial primary key, v text unique);
      grant select, trigger on "the Shop".late to "${READER}";
      insert into "the Shop".late (v) values ('a'), ('b')`);
    await job.run("provider", "add", "conf.ini", "the Shop.late");
    const { rows } = await look("the Shop.late");
    expect(rows.find(({ side, what }) => side === "subscriber" && what === "table the Shop.late")).toMatchObject({
      state: "note",
      detail: "it is missing: make it, or let `subscriber add --create` do it",
    });
    const { code, stderr } = await job.try("subscriber", "add", "conf.ini", "the Shop.late", "--create-full");
    expect({ code, stderr }).toEqual({ code: 0, stderr });
    expect(stderr).not.toContain("WARNING");
    await job.caughtUp();
    expect(await job.differences(`"the Shop".late`)).toEqual([]);
    const owners = await job.subscriber.sql(
      "select relname || ' ' || pg_get_userbyid(relowner) from pg_class where relname in ('late', 'late_id_seq') order by 1",
    );
    expect(owners.trim()).toBe("late shopapp\nlate_id_seq shopapp");
  });

  it("what is registered is looked at without names", async () => {
    const { code, rows } = await look();
    expect(rows.filter(({ state }) => state === "lacks")).toEqual([]);
    expect(code).toBe(0);
    expect(rows.map(({ side, what }) => `${side} ${what}`)).toEqual(expect.arrayContaining([
      "provider table the Shop.hidden",
      "subscriber table the Shop.hidden",
      "provider ticker",
    ]));
  });
});
