import { afterAll, describe, expect, it } from "vitest";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import { KeptStatements } from "../../../../src/db/wire/kept_statements.ts";
import { lendDatabases } from "../../../harness/pair.ts";

const [database] = await lendDatabases(1);
const open: WireConnection[] = [];
afterAll(() => Promise.all(open.map((connection) => connection.close())));

async function connect(keepStatements: boolean): Promise<WireConnection> {
  const connection = await WireConnection.connect(parseTarget(database.dsn()), { keepStatements });
  open.push(connection);
  return connection;
}

/** What the server keeps, without asking in a way that is kept itself. */
async function kept(connection: WireConnection): Promise<string[]> {
  const rows = await connection.query<{ statement: string }>(
    `select statement from pg_prepared_statements /* ${crypto.randomUUID()} */ order by prepare_time`,
  );
  return rows.map((row) => row.statement);
}

const TEXT = "select $1::int4 + 1 as n";

describe("a connection that keeps statements", () => {
  it("has those kept that come again, and answers as before", async () => {
    const connection = await connect(true);
    for (let n = 0; n < 10; n++) {
      expect(await connection.query(TEXT, [n])).toEqual([{ n: n + 1 }]);
      expect(await kept(connection)).toEqual(n < 2 ? [] : [TEXT]);
    }
  });

  it("keeps nothing where it is not told to", async () => {
    const connection = await connect(false);
    for (let n = 0; n < 5; n++) await connection.query(TEXT, [n]);
    expect(await kept(connection)).toEqual([]);
  });

  it("names a statement once when many are sent at once", async () => {
    const connection = await connect(true);
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => connection.query(TEXT, [n])));
    expect(answers.map((rows) => rows[0]!.n)).toEqual(answers.map((_, n) => n + 1));
    expect(await kept(connection)).toEqual([TEXT]);
  });

  it("goes on without after an error, be it in its first use, in a transaction, or of a plan that does not fit", async () => {
    const connection = await connect(true);
    const divided = "select 1 / $1::int4 as n";
    for (const by of [1, 1, 0]) await connection.query(divided, [by]).catch(() => {});
    for (const by of [1, 0, 1]) await connection.query(divided, [by]).catch(() => {});
    expect(await connection.query(divided, [1])).toEqual([{ n: 1 }]);

    const inFailed = "select $1::int4 as m";
    for (let n = 0; n < 2; n++) await connection.query(inFailed, [n]);
    await connection.exec("begin");
    await connection.query("select 1 / 0").catch(() => {});
    await connection.query(inFailed, [2]).catch(() => {});
    await connection.exec("rollback");
    expect(await connection.query(inFailed, [3])).toEqual([{ m: 3 }]);

    await connection.exec("create table shifting (a int4); insert into shifting values (1)");
    for (let n = 0; n < 5; n++) await connection.query("select * from shifting");
    await connection.exec("alter table shifting add b int4");
    await expect(connection.query("select * from shifting")).rejects.toMatchObject({ sqlstate: "0A000" });
    expect(await connection.query("select * from shifting")).toEqual([{ a: 1, b: null }]);

    for (let n = 0; n < 5; n++) await connection.query(TEXT, [n]);
    await connection.exec("discard all");
    await expect(connection.query(TEXT, [1])).rejects.toMatchObject({ sqlstate: "26000" });
    expect(await connection.query(TEXT, [1])).toEqual([{ n: 2 }]);
  });
});

describe("KeptStatements", () => {
  it("counts and keeps no more than it may", () => {
    const statements = new KeptStatements(true);
    for (let round = 0; round < 5; round++) {
      for (let nr = 0; nr < 100; nr++) {
        const { name, isKept } = statements.use(`select ${nr}`);
        if (name !== "" && !isKept) statements.keep(`select ${nr}`);
      }
    }
    const named = Array.from({ length: 100 }, (_, nr) => statements.use(`select ${nr}`).name).filter((name) =>
      name !== ""
    );
    expect([named.length, new Set(named).size]).toEqual([60, 60]);
    for (let nr = 0; nr < 1_000; nr++) expect(statements.use(`never again ${nr}`).name).toBe("");
    expect(statements.use("select 0").isKept).toBe(true);
  });
});
