/** A role with no right but to create schemas: each refusal names what to grant, and with that granted all works. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster } from "../../harness/cluster.ts";
import { LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

const ROLE = "replicator";

describe("rights", () => {
  let cluster: Cluster;
  let job: Job;

  beforeAll(async () => {
    cluster = await Cluster.start({ name: "rights" });
    const [provider, subscriber] = [new LentDatabase(cluster, "p"), new LentDatabase(cluster, "s")];
    await cluster.sql("postgres", `create role ${ROLE} login; create role shopapp`);
    for (const database of [provider, subscriber]) {
      await cluster.createDatabase(database.name);
      await database.sql(`
        grant create on database ${database.name} to ${ROLE};
        create schema shop authorization shopapp;
        set role shopapp;
        create table shop.orders (id integer primary key, name text);
        create table shop.items (id integer primary key,
          order_id integer constraint items_order references shop.orders);
        create sequence shop.numbers;`);
    }
    await provider.sql("insert into shop.orders values (1, 'a'), (2, 'b'); insert into shop.items values (1, 2)");
    job = new Job({
      provider,
      subscriber,
      settings: { provider_db: provider.dsn(ROLE), subscriber_db: subscriber.dsn(ROLE) },
    });
    await job.install();
  });

  afterAll(async () => {
    await job?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  /** Runs a line that must fail for want of rights, and the first way out that it names. @returns what it said */
  async function refusedThenGranted(database: LentDatabase, ...args: string[]): Promise<string> {
    const { code, stderr } = await job.try(...args);
    expect({ code, stderr }).toEqual({ code: 1, stderr });
    const statements = stderr.replace(/or run: .*/g, "").match(/(GRANT|DROP TRIGGER) [^;]*;/g) ?? [];
    expect(statements).not.toEqual([]);
    await database.sql(statements.join("\n"));
    await job.run(...args);
    return stderr;
  }

  it("provider add names what is missing on all tables, and adds none", async () => {
    const text = await refusedThenGranted(job.provider, "provider", "add", "conf.ini", "shop.orders", "shop.items");
    expect(text).toContain(
      "Cannot add table shop.orders: role replicator lacks USAGE on schema shop, lacks SELECT, TRIGGER on shop.orders; " +
        "let the owner run: GRANT USAGE ON SCHEMA shop TO replicator; GRANT SELECT, TRIGGER ON shop.orders TO replicator;",
    );
    expect(text).toContain("GRANT SELECT, TRIGGER ON shop.items TO replicator;");
    expect(text).not.toContain("Adding");
  });

  it("provider add-seq", async () => {
    const text = await refusedThenGranted(job.provider, "provider", "add-seq", "conf.ini", "shop.numbers");
    expect(text).toContain("GRANT SELECT ON SEQUENCE shop.numbers TO replicator;");
  });

  it("subscriber add knows that foreign keys want an owner, also those of tables that were not named", async () => {
    const text = await refusedThenGranted(job.subscriber, "subscriber", "add", "conf.ini", "shop.orders");
    expect(text).toContain("lacks SELECT, INSERT, UPDATE, DELETE, TRUNCATE on shop.orders");
    expect(text).toContain("does not own shop.items (its foreign key items_order is dropped for the copy)");
    expect(text).toContain("GRANT shopapp TO replicator;");
    expect(text).not.toContain("Adding");
    await job.run("subscriber", "add", "conf.ini", "shop.items");
  });

  it("subscriber add-seq", async () => {
    await job.subscriber.sql("revoke shopapp from replicator");
    const text = await refusedThenGranted(job.subscriber, "subscriber", "add-seq", "conf.ini", "shop.numbers");
    expect(text).toContain("GRANT SELECT, UPDATE ON SEQUENCE shop.numbers TO replicator;");
  });

  it("a copy that meets less rights says at what, and goes on when it has them", async () => {
    job.startReplay();
    const error = async () => (await job.try("subscriber", "tables", "conf.ini")).stdout;
    await waitFor(
      async () =>
        (await error()).includes(
          'Cannot drop foreign key "items_order" of table "shop.items": must be owner of table items',
        ),
      { what: "the copy's error", timeoutMs: 120_000 },
    );
    await job.subscriber.sql("grant shopapp to replicator");
    await job.allOk();
    expect(await job.differences("shop.orders", "shop.items")).toEqual([]);
  });

  it("provider remove says who may drop the triggers, and does it when they are gone", async () => {
    await cluster.sql("postgres", "revoke shopapp from replicator");
    const text = await refusedThenGranted(job.provider, "provider", "remove", "conf.ini", "shop.orders");
    expect(text).toContain("role replicator may not drop its triggers, its owner shopapp may; let shopapp run: DROP");
    expect(text).toContain("or run: GRANT shopapp TO replicator;");
    expect(await job.run("provider", "tables", "conf.ini")).toBe("shop.items\n");
  });
});
