/** A subscriber's role that may not set session_replication_role, and is given the right while the replay runs. */
import { describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

const SCHEMA = `
  create table watched (id integer primary key);
  create table later (id integer primary key);`;

describe("a role without the right to session_replication_role", () => {
  it("is said to have triggers fire, with the grant, which the running replay notices", async () => {
    const [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    const role = `role_${subscriber.name}`;
    await provider.sql(SCHEMA);
    await subscriber.sql(`create role ${role} login; grant all on database "${subscriber.name}" to ${role};
      grant all on schema public to ${role}; set role ${role}; ${SCHEMA}
      create table fired (id integer);
      create function fire() returns trigger language plpgsql as
        $$ begin insert into fired values (new.id); return null; end $$;
      create trigger fire after insert on watched for each row execute function fire();`);
    try {
      await using job = new Job({ provider, subscriber, settings: { subscriber_db: subscriber.dsn(role) } });
      await job.install();
      await job.add("watched");
      job.startReplay();
      await job.allOk();
      expect(job.log).toMatch(
        new RegExp(`WARNING .*triggers and foreign keys.*\\n.*INFO hint: .*GRANT SET ON PARAMETER .* TO "${role}"`),
      );
      await provider.sql("insert into watched values (1)");
      await job.caughtUp();
      expect(await subscriber.sql("select id from fired")).toBe("1");

      const version = Number(await subscriber.sql("show server_version_num"));
      await subscriber.sql(
        version >= 150_000
          ? `grant set on parameter session_replication_role to ${role}`
          : `alter role ${role} superuser`,
      );
      await job.add("later"); // the end of a copy is followed by the rounds that look at such things
      await waitFor(() => /INFO session_replication_role is set now/.test(job.log), {
        what: "the replay to notice the grant",
        timeoutMs: 120_000,
      });
      await provider.sql("insert into watched values (2)");
      await job.caughtUp();
      expect(await subscriber.sql("select id from watched order by id")).toBe("1\n2");
      expect(await subscriber.sql("select id from fired")).toBe("1");
      expect(job.log.match(/is set now/g)).toHaveLength(1);
    } finally {
      await subscriber.sql(`reassign owned by ${role} to current_user; drop owned by ${role}; drop role ${role}`);
    }
  });
});
