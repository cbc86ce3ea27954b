/** A report on the subscriber reads a table that is to be copied anew. */
import { describe, expect, it } from "vitest";
import { openSql } from "../../../src/db/sql.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { lendDatabases } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

describe("a copy of a table that somebody reads", () => {
  it("waits for the reader, and lets others read who come later", async () => {
    const [provider, subscriber] = await lendDatabases(2);
    // No limit: whoever stood behind a waiting lock would stand there for as long as the report takes.
    await using job = new Job({ provider, subscriber, settings: { lock_timeout: "0" } });
    for (const db of [provider, subscriber]) {
      await db.sql(`create table parent (id int primary key);
        create table child (id int primary key, parent int references parent);`);
    }
    await provider.sql("insert into parent values (1), (2); insert into child values (1, 1), (2, 2)");
    await job.install();
    job.startReplay();
    await job.add("parent", "child");
    await job.allOk();

    const report = await openSql(parseTarget(subscriber.dsn()));
    await report.exec("begin; select from parent; select from child");
    await job.run("subscriber", "resync", "conf.ini", "child");
    await waitFor(
      async () =>
        (await subscriber.sql("select 1 from pg_locks where not granted and mode = 'AccessExclusiveLock'")) !== "",
      { what: "the copy to stand in the queue", pollMs: 20 },
    );
    expect((await subscriber.sql("select count(*) from child, parent where parent.id = child.parent")).trim()).toBe(
      "2",
    );
    expect((await job.states()).get("public.child")).not.toBe("ok");
    await report.exec("commit");
    await report.close();
    await job.allOk();
    await job.caughtUp();
    expect(await job.differences("parent", "child")).toEqual([]);
  });
});
