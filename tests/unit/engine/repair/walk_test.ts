import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import { fixStatement, undoStatement } from "../../../../src/engine/repair/fix.ts";
import { readLayout } from "../../../../src/engine/repair/layout.ts";
import { type Difference, walkTables } from "../../../../src/engine/repair/walk.ts";
import { lendDatabases } from "../../../harness/pair.ts";

describe("walkTables()", () => {
  let source: WireConnection;
  let target: WireConnection;
  beforeAll(async () => {
    const [a, b] = await lendDatabases(2);
    source = await WireConnection.connect(parseTarget(a.dsn()));
    target = await WireConnection.connect(parseTarget(b.dsn()));
  });
  afterAll(async () => {
    await source.close();
    await target.close();
  });

  /** Makes the table on both sides, walks it, and applies fixes and undos. */
  async function differencesOf(create: string, sourceRows: string, targetRows: string) {
    for (const [db, rows] of [[source, sourceRows], [target, targetRows]] as const) {
      await db.exec(`drop table if exists public.t; ${create}; ${rows}`);
    }
    const layout = await readLayout(source, target, { sourceTable: "public.t", targetTable: "public.t" });
    const differences: Difference[] = [];
    const counts = await walkTables({ source, target, layout, onDifference: (one) => void differences.push(one) });
    const decoder = new TextDecoder();
    const text = (bytes: Uint8Array | null) => bytes === null ? "" : decoder.decode(bytes);
    return {
      counts,
      layout,
      fixes: differences.map((one) => text(fixStatement(layout, one))),
      undos: differences.map((one) => text(undoStatement(layout, one))),
    };
  }

  it("reports what is missing, surplus and different, and the fixes mend it", async () => {
    const { counts, fixes, undos } = await differencesOf(
      "create table public.t (a text, id int primary key, b text)",
      "insert into t values ('x', 2, null), ('new', 4, null), ('same', 10, '')",
      "insert into t values (null, 4, 'old'), ('same', 10, ''), ('y', 5000, E'a''b\\\\c')",
    );
    expect(counts).toEqual({ sourceRows: 3, targetRows: 3, inserts: 1, updates: 1, deletes: 1 });
    expect(fixes).toEqual([
      "insert into public.t (id, a, b) values ('2', 'x', null);\n",
      "update only public.t set a = 'new', b = null where id = '4' and a is null and b = 'old';\n",
      "delete from only public.t where id = '5000';\n",
    ]);
    expect(undos).toEqual([
      "delete from only public.t where id = '2';\n",
      "update only public.t set a = null, b = 'old' where id = '4' and a = 'new' and b is null;\n",
      "insert into public.t (id, a, b) values ('5000', 'y', E'a''b\\\\c');\n",
    ]);
    await target.exec(fixes.join(""));
    const rows = "select id, a, b from t order by id";
    expect(await target.query(rows)).toEqual(await source.query(rows));
  });
});
