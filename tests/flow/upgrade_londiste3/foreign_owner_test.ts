/** Schemas that a superuser's extensions brought: what skyq may not put there it says, and what it may holds. */
import { describe, expect, it } from "vitest";
import { lendDatabases, pair } from "../../harness/pair.ts";
import { Job } from "../job.ts";

const available = (await (await pair()).provider.sql(
  "postgres",
  "select count(*) from pg_available_extensions where name in ('pgq', 'pgq_node', 'londiste')",
)).trim();
const ROLE = "skyq_upgrader3";

describe("upgrade of Londiste 3 with extensions", () => {
  it.skipIf(available !== "3")("fences the old worker off where it may, and says where it may not", async () => {
    const [provider, subscriber] = await lendDatabases(2);
    for (const database of [provider, subscriber]) {
      await database.sql(`create extension pgq; create extension pgq_node; create extension londiste;
        do $$ begin create role ${ROLE} login; exception when duplicate_object or unique_violation then null; end $$;
        grant pgq_admin, londiste_writer to ${ROLE};
        grant create on database ${database.name} to ${ROLE}`);
    }
    await provider.sql(`select pgq_node.register_location('q', 'root', 'x', false),
      pgq_node.register_location('q', 'job', 'y', false)`);
    await provider.sql("select pgq_node.create_node('q', 'root', 'root', 'root_worker', null, null, null)");
    await provider.sql("select pgq_node.register_subscriber('q', 'job', 'job', null)");
    await subscriber.sql(`select pgq_node.register_location('q', 'root', 'x', false),
      pgq_node.register_location('q', 'job', 'y', false)`);
    await subscriber.sql("select pgq_node.create_node('q', 'leaf', 'job', 'job', 'root', 1, null)");
    const moveOn = "set application_name = 'job'; select ret_code from pgq_node.set_consumer_completed('q', 'job', 2)";

    await using plain = new Job({
      provider,
      subscriber,
      settings: { provider_db: provider.dsn(ROLE), subscriber_db: subscriber.dsn(ROLE) },
    });
    const unfenced = await plain.try("upgrade", "conf.ini");
    expect({ code: unfenced.code, stderr: unfenced.stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/The old worker is not fenced off: this role does not own/),
    });
    expect(await subscriber.sql(moveOn)).toContain("100");
    await subscriber.sql("update pgq_node.local_state set last_tick_id = 1");
    await plain.run("upgrade", "conf.ini", "--undo");

    // Schema skyq is the plain role's; the tables' owner may put the trigger there.
    await using owner = new Job({ provider, subscriber });
    const fenced = await owner.try("upgrade", "conf.ini");
    expect({ code: fenced.code, stderr: fenced.stderr }).toEqual({
      code: 0,
      stderr: expect.not.stringMatching(/fenced/),
    });
    await expect(subscriber.sql(moveOn)).rejects.toThrow(/Queue "q" is replayed by skyq here/);
    await expect(subscriber.sql(`set session_replication_role = replica; ${moveOn}`)).rejects.toThrow(
      /replayed by skyq/,
    );
    // Other consumers, other columns, and skyq itself are not its business.
    expect(await subscriber.sql("select ret_code from pgq_node.set_consumer_error('q', 'job', 'x')")).toContain("100");
    expect(await subscriber.sql(moveOn.replace("'job';", "'skyq replay job';"))).toContain("100");
    await owner.run("upgrade", "conf.ini", "--undo");
    expect(await subscriber.sql("select count(*) from pg_trigger where tgname = 'skyq_fence'")).toContain("0");
    expect(await subscriber.sql("select ret_code from pgq_node.set_consumer_completed('q', 'job', 3)")).toContain(
      "100",
    );
  });
});
