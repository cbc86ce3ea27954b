/** The manual's commands on a subscriber that is at work, and `replay`: each line, each error, its text and its status. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import type { Job } from "../job.ts";
import { testLines } from "./lines.ts";
import { installProvider, startReplay, subscriberJob } from "./subscriber_job.ts";

describe("commands on a subscriber at work", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  beforeAll(async () => {
    job = await subscriberJob();
    ({ provider, subscriber } = job);
    await installProvider(job);
    await job.run("subscriber", "install", "conf.ini");
    await job.run("subscriber", "add", "conf.ini", "a", "b", "c");
    await startReplay(job);
  });
  afterAll(async () => await job?.[Symbol.asyncDispose]());

  describe("sequences", () => {
    testLines(() => job, [
      { type: "subscriber add-seq conf.ini", code: 2, says: ["No sequence was named"] },
      {
        type: "subscriber add-seq conf.ini unsent_seq",
        code: 1,
        says: ["ERROR Seq unsent_seq does not exist on provider side"],
      },
      {
        type: "subscriber add-seq conf.ini only_there_seq",
        code: 1,
        says: ["ERROR Seq public.only_there_seq does not exist on subscriber side"],
      },
      { type: "subscriber add-seq conf.ini s1", says: ["INFO Adding sequence: public.s1"] },
      { type: "subscriber add-seq conf.ini s1", when: "again", says: ["INFO Seq public.s1 already subscribed"] },
      {
        type: "subscriber add-seq conf.ini --all --create",
        says: ["Adding sequence: public.s2", "Creating sequence public.only_there_seq"],
      },
      { type: "subscriber seqs conf.ini", out: "public.s1\npublic.s2\npublic.only_there_seq\n" },
      {
        type: "subscriber remove-seq conf.ini nowhere s1",
        code: 1,
        says: ["WARNING Seq nowhere not subscribed", "INFO Removing sequence: public.s1"],
      },
      { type: "subscriber remove-seq conf.ini --all", says: ["INFO Removing sequence: public.s2"] },
      { type: "subscriber seqs conf.ini" },
    ]);
  });

  describe("remove", () => {
    testLines(() => job, [
      { type: "subscriber remove conf.ini", code: 2, says: ["No table was named"] },
      {
        type: "subscriber remove conf.ini nowhere c",
        code: 1,
        says: ["WARNING No subscribed table matches nowhere", "INFO Removing: public.c"],
      },
      { type: "subscriber missing conf.ini", out: /^Table: public\.c\nTable: public\.wide\n/ },
    ]);

    it("leaves the rows, and removes through the queue", async () => {
      expect((await subscriber.sql("select count(*) from c")).trim()).toBe("1");
      await job.run("provider", "remove", "conf.ini", "b");
      await waitFor(async () => !(await job.states()).has("public.b"), { what: "the removal to arrive" });
    });

    it("a copy that keeps rows fails by name on those that come again, and stops nobody", async () => {
      await job.run("subscriber", "add", "conf.ini", "c", "--skip-truncate");
      await waitFor(
        async () =>
          /public\.c +in-copy +.*duplicate key.*\(id\)=\(1\)/.test(await job.run("subscriber", "tables", "conf.ini")),
        { what: "the copy's error" },
      );
      await provider.sql("insert into a values (5, 'goes on')");
      await job.finished();
      expect(await job.differences("a")).toEqual([]);
      await job.run("subscriber", "remove", "conf.ini", "c");
      await job.run("subscriber", "add", "conf.ini", "c", "--wait-sync", "--timeout", "60");
      expect(await job.differences("c")).toEqual([]);
    });
  });

  describe("replay", () => {
    testLines(() => job, [
      {
        type: "replay conf.ini --rewind --set pidfile=",
        when: "a replay runs",
        code: 6,
        says: [/another instance holds it \(server process \d+/, "stop that first, with `skyq replay CONFIG -s`"],
      },
      {
        type: "replay conf.ini --reset",
        when: "a replay runs",
        code: 6,
        says: ["Pidfile exists, another process running?"],
      },
    ]);

    it("writes a line of statistics for each batch", async () => {
      await provider.sql("insert into a values (10, 'z')");
      await job.finished();
      expect(job.log).toMatch(/INFO \{count: 1, ignored: 0, duration: [\d.]+/);
      await job.replay.kill("SIGINT");
    });

    testLines(() => job, [
      { type: "replay conf.ini --rewind", says: ["INFO Rewinding queue to tick "] },
      { type: "replay conf.ini --reset", says: ["INFO Resetting queue tracking on dst side"] },
      {
        type: "replay conf.ini --rewind",
        when: "the subscriber has no position",
        before: () =>
          subscriber.sql("update pgq_node.local_state set consumer_name = 'away' where consumer_name = 'job'"),
        after: () =>
          subscriber.sql("update pgq_node.local_state set consumer_name = 'job' where consumer_name = 'away'"),
        says: ["WARNING No tick found on dst side"],
      },
      {
        type: "replay conf.ini --rewind",
        when: "the queue has its position no more",
        before: () => subscriber.sql("update pgq_node.local_state set last_tick_id = 0"),
        code: 1,
        says: [/ERROR .*tick/],
        after: () => job.run("replay", "conf.ini", "--reset"),
      },
    ]);
  });

  describe("register and unregister", () => {
    testLines(() => job, [
      { type: "subscriber register conf.ini", says: ["INFO Subscriber job is registered already"] },
      { type: "subscriber unregister conf.ini", says: ["INFO Subscriber job unregistered"] },
      { type: "subscriber unregister conf.ini", when: "again", says: ["INFO Subscriber job was not registered"] },
      { type: "subscriber tables conf.ini", out: /public\.a +NEW\n/ },
      {
        type: "replay conf.ini",
        when: "it is not registered",
        code: 1,
        says: ['ERROR Not subscriber to queue "q": "job" is not registered there', "skyq subscriber register"],
      },
      {
        type: "subscriber register conf.ini",
        says: [/INFO Subscriber job registered at tick \d+; its tables will be copied again/],
      },
    ]);

    it("begins anew", async () => {
      await startReplay(job);
      await job.caughtUp();
      expect(await job.differences("a", "c")).toEqual([]);
      await job.run("subscriber", "remove", "conf.ini", "--all");
    });
  });
});
