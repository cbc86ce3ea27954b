import { describe, expect, it } from "vitest";
import { lendDatabases, pair } from "../../harness/pair.ts";

describe("lendDatabases()", () => {
  it("gives databases of different names on both clusters in turn", async () => {
    const [a, b, c] = await lendDatabases(3);
    const { provider, subscriber } = await pair();
    expect(new Set([a.name, b.name, c.name]).size).toBe(3);
    expect([a.cluster, b.cluster, c.cluster]).toEqual([provider, subscriber, provider]);
    expect(await b.sql("select current_database() || ' ' || current_setting('port')")).toBe(
      `${b.name} ${subscriber.port}`,
    );
  });

  it("clones a template", async () => {
    const [template] = await lendDatabases(1);
    await template.sql("create table marked (a int)");
    const [clone] = await lendDatabases(1, { template: template.name });
    expect(await clone.sql("select count(*) from marked")).toBe("0");
  });
});
