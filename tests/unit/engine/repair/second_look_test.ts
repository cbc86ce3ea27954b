import { beforeAll, describe, expect, it } from "vitest";
import { quoteFullName } from "../../../../src/db/quote.ts";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import { readLayout } from "../../../../src/engine/repair/layout.ts";
import { pinSettings } from "../../../../src/engine/repair/order.ts";
import { lookAgain, positionOf } from "../../../../src/engine/repair/second_look.ts";
import type { Difference } from "../../../../src/engine/repair/walk.ts";
import { Job } from "../../../flow/job.ts";
import { lendDatabases, type LentDatabase } from "../../../harness/pair.ts";

const ODD = 'public.Odd "T"';
const KEY = "k.e y&=%+(é)";

describe("a second look at rows that differed", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;
  let source: WireConnection;
  let target: WireConnection;

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber });
    const schema = `create table ${quoteFullName(ODD)} ("${KEY}" text, b char(5), v text, primary key ("${KEY}", b));
      create table n (id numeric primary key, v text);`;
    await provider.sql(
      `${schema} insert into ${quoteFullName(ODD)} select 'a &=%+\\ ''é' || i, 'x', 'v' from generate_series(1, 9) i;
       insert into n select i, 'v' from generate_series(1, 9) i`,
    );
    await subscriber.sql(schema);
    await job.install();
    await job.add(`"Odd ""T"""`, "n");
    job.startReplay();
    await job.allOk();
    await job.caughtUp();
    await job.killReplay();
    [source, target] = await Promise.all(
      [provider, subscriber].map((database) => WireConnection.connect(parseTarget(database.dsn()))),
    ) as [WireConnection, WireConnection];
    return async () => {
      source.destroy();
      target.destroy();
      await job[Symbol.asyncDispose]();
    };
  });

  /** What is said of rows by their keys. */
  async function verdicts(table: string, keys: (string | null)[][]): Promise<string[]> {
    const layout = await readLayout(source, target, { sourceTable: table, targetTable: table });
    await Promise.all([pinSettings(source, layout), pinSettings(target, layout)]);
    const replication = { queue: job.queue, consumer: job.name };
    await target.exec("begin isolation level repeatable read");
    const position = await positionOf(target, replication, { isLocked: false });
    const first = keys.map((cells): Difference => {
      const key = cells.map((cell) => cell === null ? null : new TextEncoder().encode(cell));
      return { kind: "update", key, source: key, target: key };
    });
    const found = await lookAgain(
      { source, target, layout, isRestricted: false, replication: { ...replication, table, position } },
      first,
    );
    await target.exec("rollback");
    return found.map((verdict) => verdict.is === "different" ? verdict.difference.kind : verdict.is);
  }

  const odd = (n: number | string) => [`a &=%+\\ 'é${n}`, "x    "];

  it("tells what differs from what is on its way, for keys of any characters", async () => {
    const set = (n: number, sql: string) => `update ${quoteFullName(ODD)} set ${sql} where "${KEY}" like '%${n}';`;
    await provider.sql(
      `${set(1, "v = 'sent'")} ${set(2, "b = 'moved'")} delete from ${quoteFullName(ODD)} where "${KEY}" like '%3';
       insert into ${quoteFullName(ODD)} values ('a &=%+\\ ''énew', 'x', 'sent')`,
    );
    await subscriber.sql(
      `set session_replication_role = replica; ${set(4, "v = 'other'")} delete from ${
        quoteFullName(ODD)
      } where "${KEY}" like '%5';
       insert into ${quoteFullName(ODD)} values ('a &=%+\\ ''éextra', 'x', 'only here')`,
    );
    expect(await verdicts(ODD, [odd(1), odd(2), [odd(2)[0]!, "moved"], odd(3), odd("new")])).toEqual(
      Array(5).fill("in flight"),
    );
    expect(await verdicts(ODD, [odd(4), odd(5), odd("extra"), odd(6), odd("nowhere")])).toEqual([
      "update",
      "insert",
      "delete",
      "equal",
      "equal",
    ]);
  });

  it("says nothing of any row of a key that events may show in another way", async () => {
    expect(await verdicts("public.n", [["1"], ["2.0"]])).toEqual(["equal", "equal"]);
    await provider.sql("update n set v = 'sent' where id = 9");
    expect(await verdicts("public.n", [["1"], ["9"]])).toEqual(["in flight", "in flight"]);
  });

  it("says nothing of any row while an event is on its way that is no row's", async () => {
    await provider.sql(`truncate ${quoteFullName(ODD)}`);
    expect(await verdicts(ODD, [odd(6), odd("nowhere")])).toEqual(["in flight", "in flight"]);
  });

  it("holds the subscriber's position while it fixes", async () => {
    await target.exec("begin isolation level repeatable read");
    await positionOf(target, { queue: job.queue, consumer: job.name }, { isLocked: true });
    await expect(
      subscriber.sql(
        `set lock_timeout = 200; select pgq_node.set_consumer_completed('${job.queue}', '${job.name}', 1)`,
      ),
    ).rejects.toThrow("lock timeout");
    await target.exec("rollback");
  });
});
