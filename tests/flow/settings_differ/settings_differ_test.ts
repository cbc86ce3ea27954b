/** The two databases, and the writers, show dates, intervals, floats and bytes each in a way of their own. */
import { describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { Job } from "../job.ts";

const SCHEMA =
  `create table odd (id integer primary key, d date, t timestamp, tz timestamptz, i interval, f float8, r real,
  b bytea, m money, a text[]);`;
const VALUES = `date '2026-03-02', timestamp '2026-03-02 01:02:03.456', timestamptz '2026-03-02 01:02:03.456+05',
  interval '-1 year 2 months -3 days 04:05:06', 0.1::float8 + 0.2::float8, 1.1::real / 3, '\\x00ff'::bytea, 12.34::money, array['NULL', null]`;

async function set(database: LentDatabase, settings: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    await database.sql(`alter database "${database.name}" set ${name} = '${value}'`);
  }
}

describe("databases with settings of their own", () => {
  it("end with the same values, copied and replayed", async () => {
    const [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    await provider.sql(SCHEMA);
    await subscriber.sql(SCHEMA);
    await set(provider, {
      datestyle: "SQL, DMY",
      intervalstyle: "sql_standard",
      timezone: "Europe/Berlin",
      extra_float_digits: "-5",
      bytea_output: "escape",
    });
    await set(subscriber, {
      datestyle: "German",
      intervalstyle: "iso_8601",
      timezone: "America/St_Johns",
      array_nulls: "off",
    });
    await using job = new Job({ provider, subscriber });
    await job.install();
    await provider.sql(`insert into odd select 1, ${VALUES}`);
    await job.add("odd");
    job.startReplay();
    await job.allOk();
    await provider.sql(`insert into odd select n, ${VALUES} from generate_series(2, 100) n`);
    await provider.sql("update odd set d = d + 1, f = f * 1.1 where id % 2 = 0");
    await job.caughtUp();
    // Shown alike on both sides: the databases themselves do not.
    const shown = async (database: LentDatabase) =>
      await database.sql(`set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres'; set timezone = 'UTC';
        set extra_float_digits = 3; set bytea_output = 'hex'; select md5(string_agg(o::text, '|' order by id)) from odd o`);
    expect((await shown(subscriber)).trim()).toBe((await shown(provider)).trim());
  });
});
