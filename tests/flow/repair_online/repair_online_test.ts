import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { seeded } from "../../harness/seed.ts";
import { Job } from "../job.ts";
import { Writer } from "../writer.ts";

const ROWS = 20_000;

describe("compare and repair while both sides are written", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber });
    const schema =
      `create table t (id integer primary key, v text); create table w (a text, b numeric, v text, primary key (a, b));
      create table x (id integer primary key, u integer not null unique, v text);`;
    await provider.sql(
      `${schema} insert into t select i, 'v' || i from generate_series(1, ${ROWS}) i;
       insert into w select 'k' || (i % 10), i / 10.0, 'v' from generate_series(1, 2000) i;
       insert into x select i, i, 'v' from generate_series(1, 900) i`,
    );
    await subscriber.sql(schema);
    await job.install();
    await job.add("t", "w", "x");
    job.startReplay();
    await job.allOk();
    return () => job[Symbol.asyncDispose]();
  });

  /** Changes all over the table, with numbers above `ROWS` for what comes and goes. */
  function writer(): Writer {
    const random = seeded("repair_online");
    return new Writer(provider, (n) => {
      const ids = Array.from({ length: 40 }, () => random.int(1, ROWS)).join(",");
      return `update t set v = 'w${n}' where id in (${ids}) and id % 100 <> 7;
        insert into t values (${ROWS + n}, 'new') on conflict do nothing; delete from t where id = ${ROWS + n - 20};
        update w set v = 'w${n}' where b = ${random.int(1, 2000)} / 10.0`;
    });
  }

  /** Rows whose numbers end in 07 are left alone by the writer: what differs there is known exactly. */
  async function diverge(): Promise<void> {
    await subscriber.sql(`update t set v = 'other' where id in (107, 207); delete from t where id in (307, 407, 507);
      insert into t values (-7, 'extra'); update w set v = 'other' where b = 3.3`);
  }

  it("--online reports exactly what differs", async () => {
    await diverge();
    await using _writer = writer();
    const { code, stdout, stderr } = await job.try("compare", "conf.ini", "t", "--online", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ missing: 3, differing: 2, extra: 1, unsettled: 0 });
    expect(stderr).not.toContain("Locking");
    expect(code).toBe(3);
  });

  it("--apply mends exactly that, and nothing of what is written meanwhile is lost", async () => {
    {
      await using _writer = writer();
      const { code, stdout } = await job.try("repair", "conf.ini", "t", "--online", "--apply", "--json");
      expect(JSON.parse(stdout)).toMatchObject({ result: "repaired", applied: 6, unsettled: 0 });
      expect(code).toBe(0);
    }
    await job.caughtUp();
    expect(await job.differences("t")).toEqual([]);
  });

  it("rows of a key that events may show differently are settled when the table is quiet", async () => {
    const { code, stdout } = await job.try("repair", "conf.ini", "w", "--online", "--apply", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ result: "repaired", differing: 1 });
    expect(code).toBe(0);
    expect(await job.differences("w")).toEqual([]);
  });

  it("under the lock --apply mends beside the replay as well", async () => {
    await diverge();
    {
      await using _writer = writer();
      const { code, stdout } = await job.try("repair", "conf.ini", "t", "--apply", "--json");
      expect(JSON.parse(stdout)).toMatchObject({ result: "repaired", applied: 6 });
      expect(code).toBe(0);
    }
    await job.caughtUp();
    expect(await job.differences("t")).toEqual([]);
  });

  it("rows that exchange unique values are mended together, when none of them is in flight", async () => {
    // Even rows have the value of the odd one before them, which the writer's changes of theirs take back.
    await subscriber.sql(`update x set u = 10000 + id where id <= 600 and id % 2 = 1;
      update x set u = id - 1 where id <= 600 and id % 2 = 0; delete from x where id % 30 = 1;
      insert into x select 20000 + i, 20000 + i, 'extra' from generate_series(1, 20) i`);
    const random = seeded("repair_online x");
    {
      await using _writer = new Writer(provider, (n) => {
        const [a, b] = random.pick([[0, 150], [150, 0]]).map((more) => 601 + n % 150 + more);
        return `update x set v = 'w${n}' where id = ${2 * random.int(1, 300)};
          delete from x where id in (${601 + n % 150}, ${751 + n % 150});
          insert into x values (${601 + n % 150}, ${a}, 'w${n}'), (${751 + n % 150}, ${b}, 'w${n}')`;
      });
      const { code, stderr, stdout } = await job.try("repair", "conf.ini", "x", "--online", "--apply", "--json");
      expect({ code, stderr }).toMatchObject({ code: 0 });
      expect(JSON.parse(stdout)).toMatchObject({ result: "repaired", refused: 0, unsettled: 0, extra: 20 });
    }
    await job.caughtUp();
    expect(await job.differences("x")).toEqual([]);
  });
});
