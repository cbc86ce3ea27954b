/** One transaction larger than any buffer: its size must not show in the replay's memory. */
import { describe, expect, it } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { Job, size } from "../job.ts";

const CHANGE_COUNT = size({ smoke: 200_000, long: 2_000_000 });
const RESIDENT_MB_MAX = 256;
const SCHEMA = `
  create table big (id integer primary key, name text not null, amount numeric, note text);
  create table other (id integer primary key);`;

describe("a big transaction", () => {
  it(`of ${CHANGE_COUNT} row changes replays in bounded memory`, async () => {
    const [provider, subscriber] = await lendDatabases(2);
    await using job = new Job({ provider, subscriber });
    for (const database of [provider, subscriber]) await database.sql(SCHEMA);
    await job.install();
    job.startReplay();
    await job.add("big", "other");
    await job.allOk();

    const part = CHANGE_COUNT / 4;
    await provider.sql(`
      begin;
      insert into big select n, 'row ' || n, n / 7.0, repeat('x & y % ', n % 10) from generate_series(1, ${2 * part}) n;
      update big set name = name || '''s', note = null where id <= ${part};
      delete from big where id > ${part};
      insert into other values (1);
      commit;`);
    let residentMbMax = 0;
    const sampling = setInterval(() => residentMbMax = Math.max(residentMbMax, job.replay.residentMb), 20);
    try {
      await job.caughtUp(600_000);
    } finally {
      clearInterval(sampling);
    }
    console.log(`big_transaction: ${CHANGE_COUNT} row changes, at most ${residentMbMax.toFixed(0)} MB resident`);
    expect(residentMbMax).toBeGreaterThan(10);
    expect(residentMbMax).toBeLessThan(RESIDENT_MB_MAX);
    expect(job.replay.hasEnded).toBe(false);
    expect(await job.differences("big", "other")).toEqual([]);
    expect(Number(await subscriber.sql("select count(*) from big where note is null"))).toBe(part);
  }, 900_000);
});
