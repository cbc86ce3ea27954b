/** The manual's subscriber commands up to tables that are in sync: each line, each error, its text and its status. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import type { Job } from "../job.ts";
import { testLines } from "./lines.ts";
import { installProvider, startReplay, subscriberJob } from "./subscriber_job.ts";

describe("subscriber commands", () => {
  let job: Job;
  let subscriber: LentDatabase;

  beforeAll(async () => {
    job = await subscriberJob();
    ({ subscriber } = job);
  });
  afterAll(async () => await job?.[Symbol.asyncDispose]());

  describe("before the installs", () => {
    const both = [
      "subscriber install",
      "subscriber add a",
      "subscriber check",
      "subscriber missing",
      "subscriber fkeys",
      "subscriber register",
    ];
    testLines(
      () => job,
      both.map((type) => ({
        type: type.replace(/^(\S+ \S+)/, "$1 conf.ini"),
        code: 1,
        says: ["ERROR Event queue does not exist yet", "hint: Run `skyq provider install"],
      })),
    );

    it("provider install", async () => {
      await installProvider(job);
    });

    const alone = [
      "subscriber tables",
      "subscriber seqs",
      "subscriber remove a",
      "subscriber remove-seq s1",
      "subscriber resync a",
      "subscriber restore-triggers a",
      "subscriber restore-fkeys",
      "subscriber unregister",
      "subscriber add a",
      "subscriber add-seq s1",
      "subscriber missing",
      "subscriber triggers",
      "replay --rewind",
      "replay --reset",
    ];
    testLines(
      () => job,
      alone.map((type) => ({
        type: type.startsWith("replay")
          ? type.replace("replay", "replay conf.ini")
          : type.replace(/^(\S+ \S+)/, "$1 conf.ini"),
        when: "without the subscriber's",
        code: 1,
        says: [
          'ERROR Cannot use the subscriber: it has no node of queue "q"',
          "hint: Run `skyq subscriber install` first",
        ],
      })),
    );
  });

  describe("install", () => {
    testLines(() => job, [
      {
        type: "subscriber install conf.ini",
        says: [
          "INFO Installing londiste",
          "INFO Subscriber registered: job",
          'INFO Node "job" initialized for queue "q" with type "leaf"',
        ],
      },
      {
        type: "subscriber install conf.ini",
        when: "again",
        says: ["INFO londiste is installed", "already initialized as leaf"],
      },
      { type: "subscriber tables conf.ini", out: /^Table +State\n$/ },
      { type: "subscriber seqs conf.ini" },
      {
        type: "subscriber missing conf.ini",
        out: ["a", "b", "c", "wide", "keyless", "only_there"].map((name) => `Table: public.${name}\n`).join("") +
          ["s1", "s2", "only_there_seq"].map((name) => `Sequence: public.${name}\n`).join(""),
      },
      { type: "subscriber fkeys conf.ini", says: ["INFO No tables, no fkeys"] },
      { type: "subscriber triggers conf.ini", says: ["INFO No tables, no triggers"] },
    ]);
  });

  describe("add", () => {
    testLines(() => job, [
      { type: "subscriber add conf.ini", code: 2, says: ["No table was named"] },
      { type: "subscriber add conf.ini unsent", code: 1, says: ["ERROR Table public.unsent not attached to queue"] },
      { type: "subscriber add conf.ini only_there", code: 1, says: ["No tables found that match only_there"] },
      {
        type: "subscriber add conf.ini nowhere a",
        code: 1,
        says: ["No tables found that match nowhere"],
        saysNot: ["Adding"],
      },
      {
        type: "subscriber add conf.ini a wide",
        code: 1,
        says: ["INFO Checking public.a", "ERROR public.wide: column v on provider not on subscriber"],
        saysNot: ["Adding"],
      },
      {
        type: "subscriber add conf.ini keyless",
        code: 1,
        says: ["ERROR subscriber table public.keyless has no primary key"],
      },
      {
        type: "subscriber add conf.ini a --expect-sync --skip-truncate",
        code: 2,
        says: ["Too many options: --expect-sync and --skip-truncate"],
      },
      {
        type: "subscriber add conf.ini wide --force --expect-sync",
        says: ["ERROR public.wide: column v on", "WARNING --force used, ignoring errors", "INFO Adding public.wide"],
      },
      { type: "subscriber remove conf.ini wide", says: ["INFO Removing: public.wide"] },
      { type: "subscriber add conf.ini c --excect-sync", says: ["INFO Checking public.c", "INFO Adding public.c"] },
      { type: "subscriber tables conf.ini", out: /^Table +State\npublic\.c +ok\n$/ },
      {
        type: "subscriber add conf.ini c",
        when: "again",
        says: ["INFO Table public.c already added"],
        saysNot: ["Adding"],
      },
      {
        type: "subscriber add conf.ini a b --wait-sync --timeout 1",
        when: "no replay runs",
        code: 1,
        says: ["INFO Adding public.a", "Waited 1 s for tables to get in sync: public.a is NEW, public.b is NEW"],
      },
      {
        type: "subscriber tables conf.ini",
        when: "what is not copied yet is NEW",
        out: /public\.a +NEW\npublic\.b +NEW\npublic\.c +ok\n$/,
      },
      { type: "subscriber triggers conf.ini active", out: "" },
      {
        type: "subscriber triggers conf.ini pending",
        out:
          /^pending triggers\ntable_name +trigger_name +trigger_def\n-+ .*\npublic\.a +t1 +CREATE TRIGGER t1 BEFORE INSERT [^]*public\.a +t2 /,
      },
      { type: "subscriber triggers conf.ini nosuch", code: 2, says: ['"nosuch" is none of "pending", "active"'] },
    ]);

    it("waits until the added tables are in sync", async () => {
      await startReplay(job);
      await job.run("subscriber", "remove", "conf.ini", "b");
      const { code, stderr } = await job.try("subscriber", "add", "conf.ini", "b", "--wait-sync", "--timeout", "60");
      expect({ code, stderr }).toEqual({ code: 0, stderr });
      expect(stderr).toMatch(
        /Waiting until all tables are in sync[^]*1\/3 table\(s\) to copy[^]*public\.b: finished \(3\/3\)[^]*All done/,
      );
    });
  });

  describe("fkeys and triggers", () => {
    testLines(() => job, [
      {
        type: "subscriber fkeys conf.ini active",
        before: () =>
          waitFor(async () => !(await subscriber.sql("select 1 from londiste.pending_fkeys")).trim(), {
            what: "the fkey",
          }),
        out:
          /^active fkeys\nfrom_table +to_table +fkey_name +fkey_def\n-+.*\npublic\.b +public\.a +b_a +alter table only public\.b add constraint b_a FOREIGN KEY/,
      },
      { type: "subscriber fkeys conf.ini pending", out: "" },
      { type: "subscriber fkeys conf.ini", out: /^active fkeys/ },
      { type: "subscriber fkeys conf.ini --json", out: /^\{"kind":"active","from_table":"public\.b"/ },
      { type: "subscriber fkeys conf.ini nosuch", code: 2, says: ['"nosuch" is none of'] },
      { type: "subscriber restore-fkeys conf.ini", says: ["INFO No pending fkeys"] },
      {
        type: "subscriber restore-fkeys conf.ini nowhere",
        code: 1,
        says: ["ERROR Table nowhere has no pending fkeys"],
      },
      { type: "subscriber restore-triggers conf.ini", code: 2, says: ["TABLE is missing"] },
      {
        type: "subscriber restore-triggers conf.ini nowhere",
        code: 1,
        says: ["ERROR Table nowhere is not in the subscriber queue."],
      },
      { type: "subscriber restore-triggers conf.ini a t1", saysNot: ["INFO"] },
      {
        type: "subscriber restore-triggers conf.ini a t1 t9",
        says: ["INFO Trigger t1 on public.a is already active.", "INFO Trigger t9 not found on public.a"],
      },
      { type: "subscriber triggers conf.ini", out: /^pending triggers\n[^]* t2 [^]*\n\nactive triggers\n[^]* t1 / },
      { type: "subscriber restore-triggers conf.ini a", saysNot: ["INFO"] },
      {
        type: "subscriber restore-triggers conf.ini a",
        when: "again",
        says: ["INFO No pending triggers found for public.a."],
      },
      { type: "subscriber triggers conf.ini pending", out: "" },
    ]);
  });

  describe("check", () => {
    testLines(() => job, [
      { type: "subscriber check conf.ini a", says: ["INFO Checking public.a"] },
      {
        type: "subscriber check conf.ini --all",
        code: 3,
        says: ["Checking public.wide", "ERROR public.wide: column v on provider"],
      },
      { type: "subscriber check conf.ini nowhere", code: 1, says: ["No registered table matches nowhere"] },
      {
        type: "subscriber check conf.ini wied wide",
        code: 1,
        says: [
          "No registered table matches wied",
          'hint: Did you mean "public.wide"?',
          "ERROR public.wide: column v on",
        ],
      },
    ]);
  });

  describe("resync", () => {
    testLines(() => job, [
      { type: "subscriber resync conf.ini", code: 2, says: ["No table was named"] },
      { type: "subscriber resync conf.ini nowhere", code: 1, says: ["WARNING Table nowhere not found"] },
      { type: "subscriber resync conf.ini c", says: ["INFO Resyncing public.c"], after: () => job.caughtUp() },
      { type: "subscriber resync conf.ini --all", says: ["Resyncing public.a", "Resyncing public.b"] },
      {
        type: "subscriber resync conf.ini a",
        when: "it is being copied",
        before: async () => {
          await job.caughtUp();
          await job.replay.kill("SIGINT");
          await job.run("subscriber", "resync", "conf.ini", "a");
        },
        code: 1,
        says: ["WARNING Table public.a is not in stable state"],
        after: () => startReplay(job),
      },
    ]);
  });
});
