/** What operators do to a running pair, by mistake or for good reasons. */
import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

const SCHEMA = `
  create table parent (id integer primary key, v text);
  create table child (id integer primary key, parent_id integer references parent, v text);`;

describe("a pair that is meddled with", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    job = new Job({ provider, subscriber });
    await provider.sql(
      SCHEMA +
        "insert into parent select i from generate_series(1, 9) i; insert into child select i, i from generate_series(1, 9) i",
    );
    await subscriber.sql(SCHEMA);
    await job.install();
    await job.add("parent", "child");
    job.startReplay();
    await job.allOk();
    return () => job[Symbol.asyncDispose]();
  });

  it("a table renamed on the provider is replicated as before, and check says what it is called", async () => {
    await provider.sql("alter table child rename to renamed; insert into renamed values (10, 1, 'silent')");
    await provider.sql("update renamed set v = 'still' where id = 2");
    await job.caughtUp();
    expect(await subscriber.sql("select v from child where id in (2, 10) order by id")).toContain("still");
    const { code, stderr } = await job.try("subscriber", "check", "conf.ini");
    expect(code).toBe(3);
    expect(stderr).toContain("public.renamed");
    await provider.sql("alter table renamed rename to child");
    await job.caughtUp();
    expect(await job.differences("parent", "child")).toEqual([]);
    await job.run("subscriber", "check", "conf.ini");
  });

  it("a capture trigger that was dropped is told of, and made again by provider add", async () => {
    await provider.sql("drop trigger _londiste_q on parent; update parent set v = 'lost' where id = 3");
    const checked = await job.try("subscriber", "check", "conf.ini");
    expect(checked.code).toBe(3);
    expect(checked.stderr).toContain("trigger is gone");
    const added = await job.try("provider", "add", "conf.ini", "parent");
    expect(added.code).toBe(0);
    expect(added.stderr).toContain("resync");
    await job.run("subscriber", "resync", "conf.ini", "parent");
    await provider.sql("update parent set v = 'seen' where id = 4");
    await job.allOk();
    await job.caughtUp();
    expect(await job.differences("parent", "child")).toEqual([]);
    await job.run("subscriber", "check", "conf.ini");
  });

  it("foreign keys come back when a table is removed while they are dropped", async () => {
    await subscriber.sql("alter table child drop constraint child_parent_id_fkey");
    await subscriber.sql(
      `insert into londiste.pending_fkeys values ('public.child', 'public.parent', 'child_parent_id_fkey',
        'alter table only public.child add constraint child_parent_id_fkey foreign key (parent_id) references public.parent (id)')`,
    );
    await job.run("subscriber", "remove", "conf.ini", "child");
    expect(await job.run("subscriber", "fkeys", "conf.ini", "pending")).toContain("child_parent_id_fkey");
    await job.run("subscriber", "restore-fkeys", "conf.ini");
    expect(
      (await subscriber.sql("select convalidated from pg_constraint where conname = 'child_parent_id_fkey'")).trim(),
    )
      .toBe("t");
    await job.run("subscriber", "add", "conf.ini", "child", "--wait-sync", "--timeout", "60");
  });

  it("a key that could not be validated keeps its own definition", async () => {
    await subscriber.sql("set session_replication_role = replica; delete from parent where id = 5");
    await job.run("subscriber", "resync", "conf.ini", "child");
    await waitFor(() => /refer to nothing: \(parent_id\) = \(5\) in \(id\) = \(5\)/.test(job.log), {
      what: "the log to name the row",
    });
    await job.run("subscriber", "resync", "conf.ini", "parent");
    await job.allOk();
    await job.caughtUp();
    await job.run("subscriber", "restore-fkeys", "conf.ini");
    const shown = await subscriber.sql(
      "select pg_get_constraintdef(oid) from pg_constraint where conname = 'child_parent_id_fkey'",
    );
    expect(shown).toContain("FOREIGN KEY (parent_id)");
    expect(shown).not.toContain("NOT VALID");
  });

  it("a second subscriber under the same name is refused", async () => {
    const [, other] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    await other.sql(SCHEMA);
    await using second = new Job({ provider, subscriber: other });
    const { code, stderr } = await second.try("subscriber", "install", "conf.ini");
    expect(code).toBe(1);
    expect(stderr).toContain("knows a node of that name");
    expect(stderr).toContain("job_name of its own");
  });

  it("a subscriber can be retired, and registered again", async () => {
    await job.killReplay();
    await job.run("subscriber", "unregister", "conf.ini");
    const consumers = async () => (await provider.sql("select consumer_name from pgq.get_consumer_info('q')")).trim();
    expect(await consumers()).toBe(".global_watermark");
    await provider.sql("insert into parent values (20, 'while away')");
    await job.run("subscriber", "register", "conf.ini");
    job.startReplay();
    await job.allOk();
    await job.caughtUp();
    expect(await job.differences("parent", "child")).toEqual([]);
    await job.killReplay();
    // As if register had been killed between the provider's part and the subscriber's position.
    await subscriber.sql(
      "update londiste.table_info set merge_state = null; update pgq_node.local_state set last_tick_id = 1",
    );
    await job.run("subscriber", "register", "conf.ini");
    job.startReplay();
    await job.allOk();
    await job.caughtUp();
    expect(await job.differences("parent", "child")).toEqual([]);
    await job.killReplay();
    await job.run("subscriber", "unregister", "conf.ini", "--gone");
    expect(await consumers()).toBe(".global_watermark");
  });
});
