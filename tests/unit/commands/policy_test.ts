import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorPolicy } from "../../../src/commands/_policy.ts";
import { loadConfig } from "../../../src/config/config.ts";

describe("errorPolicy()", () => {
  let directory = "";
  beforeAll(() => {
    directory = Deno.makeTempDirSync();
  });
  afterAll(() => Deno.removeSync(directory, { recursive: true }));

  const policy = (text: string) => {
    const file = `${directory}/c.ini`;
    Deno.writeTextFileSync(file, `[skyq]\n${text}\n`);
    return errorPolicy(loadConfig({ file, kind: "any" }));
  };

  it("stops unless it is told otherwise", () => {
    const { onError, quarantineMax } = policy("");
    expect([onError("public.t"), quarantineMax]).toEqual(["stop", 10_000]);
    expect(policy("on_error = quarantine").onError("public.t")).toBe("quarantine");
  });

  it("lets the first entry that matches a table decide", () => {
    const { onError } = policy(
      "on_error = skip-table\non_error_tables = orders=stop, audit.*=quarantine, a.b=c = stop, o*=quarantine",
    );
    const tables = ["public.orders", "audit.log", "public.other", "x.orders", "a.b=c"];
    expect(tables.map(onError)).toEqual(["stop", "quarantine", "quarantine", "skip-table", "stop"]);
  });

  it("names the entry that it cannot read", () => {
    for (const entry of ["orders", "orders=ignore", "=stop"]) {
      expect(() => policy(`on_error_tables = x=stop, ${entry}`)).toThrow(`"${entry}" is not TABLE=WAY`);
    }
    expect(() => policy("on_error = ignore")).toThrow(/on_error/);
  });
});
