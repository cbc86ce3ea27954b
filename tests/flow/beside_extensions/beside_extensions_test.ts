/**
 * The originals' extensions are there already: skyq uses what it finds and adds only what is missing. `SKYQ_LONG=1` keeps
 * writing for a minute each.
 */
import { describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase, pair } from "../../harness/pair.ts";
import { Job, size } from "../job.ts";
import { Writer } from "../writer.ts";

/** Each of the three ways, most of it waiting. */
const LOAD_MS = size({ smoke: 7_000, long: 60_000 });

const servers = await pair();
const available = (await servers.provider.sql(
  "postgres",
  "select count(*) from pg_available_extensions where name in ('pgq', 'pgq_node', 'londiste')",
)).trim();

const SCHEMA = "create table t (id serial primary key, v text, n numeric(10,2), at timestamptz default now())";

describe("beside the originals", () => {
  for (const extensions of [["pgq"], ["pgq", "pgq_node"], ["pgq", "pgq_node", "londiste"]]) {
    it.skipIf(available !== "3")(
      `replicates with ${extensions.join(", ")} as extensions, which stay as they are`,
      async () => {
        const [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
        for (const database of [provider, subscriber]) {
          await database.sql(SCHEMA);
          for (const extension of extensions) await database.sql(`create extension ${extension}`);
        }
        const functions = async () =>
          await provider.sql(
            `select md5(string_agg(p.oid || pg_get_functiondef(p.oid), '' order by p.oid))
             from pg_proc p join pg_depend d on d.objid = p.oid and d.deptype = 'e' join pg_extension e on e.oid = d.refobjid
            where e.extname in ('pgq', 'pgq_node', 'londiste')`,
          );
        const before = await functions();
        await provider.sql("insert into t (v, n) select 'row ' || i, i from generate_series(1, 500) i");
        await using job = new Job({ provider, subscriber });
        await job.install();
        await job.add("t");
        await job.run("provider", "add-seq", "conf.ini", "t_id_seq");
        await job.run("subscriber", "add-seq", "conf.ini", "t_id_seq");
        job.startReplay();
        await job.allOk();
        await provider.sql(`
        insert into t (v) select E'tab\\t%&=' || i from generate_series(1, 200) i;
        update t set v = null where id % 3 = 0;
        delete from t where id % 7 = 0`);
        // Under load for a while, with rotations and a replay that is killed half way.
        await provider.sql("select pgq.set_queue_config('q', 'rotation_period', '1 second')");
        const writer = new Writer(
          provider,
          (n) =>
            `insert into t (v, n) values ('written ${n}', ${n}); update t set n = n + 1 where id % 50 = ${n % 50};
           delete from t where id = ${n * 3}`,
        );
        await new Promise((resolve) => setTimeout(resolve, LOAD_MS / 2));
        await job.killReplay();
        job.startReplay();
        await new Promise((resolve) => setTimeout(resolve, LOAD_MS / 2));
        await writer.stop();
        await job.caughtUp();
        expect(writer.committedCount).toBeGreaterThan(10);
        expect(await job.differences("t")).toEqual([]);
        expect(Number(await subscriber.sql("select last_value from t_id_seq"))).toBeGreaterThan(700);
        expect(await functions()).toBe(before);
        // Installing again changes nothing, and what the extension brought can still be dropped and dumped as such.
        await job.run("provider", "install", "conf.ini");
        expect(await functions()).toBe(before);
      },
    );
  }
});
