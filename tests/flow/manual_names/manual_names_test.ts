/** Names as people type them: with schema, quoted, as globs; upper case, dots, commas, quotes, 63 bytes of unicode. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";
import { finishedAll } from "../progress.ts";

const LONG = "ä".repeat(30) + "xyz";
const QUEUE = `Queue, "1".%`;
const JOB = `jöb 'x', "y"`;

/** Schema, name, and every way to type it. */
const NAMES: readonly { schema: string; name: string; typed: readonly string[] }[] = [
  { schema: "public", name: "plain", typed: ["plain", "public.plain", `"plain"`, `public."plain"`] },
  { schema: "public", name: "UPPER", typed: ["UPPER", "public.UPPER", `"UPPER"`] },
  { schema: "public", name: "with.dot", typed: ["public.with.dot", `"with.dot"`, `"public"."with.dot"`] },
  { schema: "public", name: `co,mm"a`, typed: [`co,mm"a`, `public.co,mm"a`, `"co,mm""a"`] },
  { schema: "public", name: "st*r", typed: ["st*r"] },
  { schema: "public", name: LONG, typed: [LONG, `"${LONG}"`] },
  { schema: LONG, name: LONG, typed: [`${LONG}.${LONG}`, `"${LONG}"."${LONG}"`] },
  { schema: `The, "Schema"`, name: "it's $1", typed: [`The, "Schema".it's $1`, `"The, ""Schema"""."it's $1"`] },
  { schema: "UP", name: "per", typed: ["UP.per", `"UP".per`, `UP."per"`] },
  { schema: "UP", name: "Per", typed: ["UP.Per"] },
];

const ident = (name: string) => `"${name.replaceAll('"', '""')}"`;
const sql = ({ schema, name }: { schema: string; name: string }) => `${ident(schema)}.${ident(name)}`;
const full = ({ schema, name }: { schema: string; name: string }) => `${schema}.${name}`;
const ALL = NAMES.map(full);

describe("names", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  beforeAll(async () => {
    expect(new TextEncoder().encode(LONG).length).toBe(63);
    [provider, subscriber] = await lendDatabases(2);
    job = new Job({
      provider,
      subscriber,
      settings: {
        pgq_queue_name: QUEUE.replace("%", "%%"),
        job_name: JOB,
        logfile: "",
        pidfile: "",
        maint_period: "1",
      },
    });
    for (const db of [provider, subscriber]) {
      for (const entry of NAMES) {
        await db.sql(`create schema if not exists ${ident(entry.schema)};
          create table ${sql(entry)} (id integer primary key, v text)`);
        // A sequence and a table cannot have the same name in one schema.
        const schema = ident(`seq ${entry.schema.slice(0, 20)}`);
        await db.sql(`create schema if not exists ${schema}; create sequence ${schema}.${ident(entry.name)}`);
      }
    }
    await provider.sql(
      NAMES.map((entry) => `insert into ${sql(entry)} values (1, '${entry.name.replaceAll("'", "''")}');`).join("\n"),
    );
    await job.run("provider", "install", "conf.ini");
    await job.run("subscriber", "install", "conf.ini");
    await provider.sql(`select pgq.set_queue_config('${QUEUE}', 'ticker_max_lag', '200 milliseconds')`);
    job.startReplay();
  });
  afterAll(async () => await job?.[Symbol.asyncDispose]());

  const finished = () =>
    finishedAll(provider, { queue: QUEUE, consumer: JOB.replaceAll("'", "''"), timeoutMs: 120_000 });
  const tables = async () => (await job.run("provider", "tables", "conf.ini")).split("\n").filter(Boolean);

  it("each is added by each way to type it", async () => {
    const first = await job.try("provider", "add", "conf.ini", ...NAMES.map(({ typed }) => typed[0]!));
    expect(first.stderr.match(/Adding .*/g)).toEqual(ALL.map((name) => `Adding ${name}`));
    for (let nth = 1; nth < 4; nth++) {
      const entries = NAMES.filter(({ typed }) => typed[nth] !== undefined);
      if (entries.length === 0) continue;
      const again = await job.try("provider", "add", "conf.ini", ...entries.map(({ typed }) => typed[nth]!));
      expect({ code: again.code, text: again.stderr }).toEqual({ code: 0, text: again.stderr });
      expect(again.stderr.match(/Table .* already added/g)).toEqual(
        entries.map((entry) => `Table ${full(entry)} already added`),
      );
    }
    expect(await tables()).toEqual(ALL);
  });

  it("a name that is there is no glob, a glob means each part by itself", async () => {
    expect((await job.try("subscriber", "add", "conf.ini", "st*r")).stderr).toContain("Adding public.st*r\n");
    const { stderr } = await job.try("subscriber", "add", "conf.ini", "U?.?er");
    expect(stderr).toContain("Adding UP.per\n");
    expect(stderr).toContain("Adding UP.Per\n");
    expect((await job.try("subscriber", "add", "conf.ini", "*")).stderr).not.toContain(`Adding ${LONG}.`);
    expect((await job.try("subscriber", "add", "conf.ini", "*.*")).stderr).toContain(`Adding ${LONG}.${LONG}\n`);
    expect([...(await job.states()).keys()].sort()).toEqual([...ALL].sort());
  });

  it("all are copied and replayed", async () => {
    await job.allOk();
    await provider.sql(
      NAMES.map((entry) =>
        `insert into ${sql(entry)} values (2, null); update ${sql(entry)} set v = 'new' where id = 1;`
      ).join("\n"),
    );
    await finished();
    expect(await job.differences(...NAMES.map(sql))).toEqual([]);
    const checked = await job.try("subscriber", "check", "conf.ini");
    expect({ code: checked.code, text: checked.stderr }).toEqual({ code: 0, text: checked.stderr });
    const shown = await job.run("subscriber", "tables", "conf.ini");
    for (const name of ALL) expect(shown).toContain(name);
  });

  it("all are copied anew", async () => {
    await subscriber.sql(NAMES.map((entry) => `delete from ${sql(entry)};`).join("\n"));
    await job.run("subscriber", "resync", "conf.ini", ...NAMES.map(({ typed }) => typed.at(-1)!));
    await job.allOk();
    expect(await job.differences(...NAMES.map(sql))).toEqual([]);
  });

  it("sequences", async () => {
    await job.run("provider", "add-seq", "conf.ini", "--all");
    const added = (await job.run("provider", "seqs", "conf.ini")).split("\n").filter(Boolean);
    expect(added).toHaveLength(NAMES.length);
    await job.run("subscriber", "add-seq", "conf.ini", ...added);
    expect(await job.run("subscriber", "seqs", "conf.ini")).toBe(added.join("\n") + "\n");
    const quoted = added.map((name) =>
      `${ident(name.slice(0, name.indexOf(".")))}.${ident(name.slice(name.indexOf(".") + 1))}`
    );
    await provider.sql(
      quoted.map((name) => `select nextval('${name.replaceAll("'", "''")}') from generate_series(1, 25000);`).join(
        "\n",
      ),
    );
    for (const name of quoted) {
      await waitFor(async () => Number(await subscriber.sql(`select last_value from ${name}`)) > 25_000, {
        what: name,
      });
    }
    await job.run("provider", "remove-seq", "conf.ini", ...added);
    await finished();
    expect(await job.run("subscriber", "seqs", "conf.ini")).toBe("");
  });

  it("removals travel through the queue", async () => {
    await job.run("provider", "remove", "conf.ini", ...ALL.slice(0, 4));
    await finished();
    expect([...(await job.states()).keys()].sort()).toEqual(ALL.slice(4).sort());
    await job.run("subscriber", "remove", "conf.ini", ...ALL.slice(4));
    await job.run("provider", "remove", "conf.ini", "--all");
    expect(await tables()).toEqual([]);
  });
});
