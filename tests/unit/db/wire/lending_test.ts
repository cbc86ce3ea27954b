import { afterAll, describe, expect, it } from "vitest";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import { lendDatabases } from "../../../harness/pair.ts";

const [database] = await lendDatabases(1);
const db = await WireConnection.connect(parseTarget(database!.dsn()));
afterAll(() => db.close());

describe("copyOut()", () => {
  it("leaves a lent run alone while more is read, wherever the stream is cut", async () => {
    let rows = 0;
    // Short rows, so that cuts fall into headers and rows alike; a consumer that keeps each run for a while.
    for await (
      const run of db.copyOut("copy (select i, md5(i::text) from generate_series(1, 600000) i) to stdout")
    ) {
      const before = run.slice();
      await new Promise((resolve) => setTimeout(resolve, 3));
      rows++;
      expect(run.every((byte, i) => byte === before[i])).toBe(true);
    }
    expect(rows).toBeGreaterThan(10);
  });
});
