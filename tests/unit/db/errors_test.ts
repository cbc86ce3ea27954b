import { describe, expect, it } from "vitest";
import { type Fault, SkyqError } from "../../../src/base/errors.ts";
import { during, ServerError, shortStatement, toSkyqError } from "../../../src/db/errors.ts";

const ACT = 'Cannot connect to database "x" at h:1';

function fromServer(sqlstate: string, severity = "ERROR", connecting = false): SkyqError {
  return toSkyqError(new ServerError({ severity, sqlstate, message: "server text" }), ACT, { connecting });
}

describe("toSkyqError() of a server's error", () => {
  const faults: [string, Fault][] = [
    ["28P01", "auth"],
    ["28000", "auth"],
    ["3D000", "connect"],
    ["08006", "connection-lost"],
    ["08P01", "protocol"],
    ["57P01", "connection-lost"],
    ["57P02", "connection-lost"],
    ["57P03", "connect"],
    ["53300", "connect"],
    ["42501", "privilege"],
    ["55P03", "lock-timeout"],
    ["57014", "timeout"],
    ["40001", "sql"],
    ["40P01", "sql"],
    ["23505", "sql"],
  ];
  it.each(faults)("%s is %s", (sqlstate, fault) => {
    const error = fromServer(sqlstate);
    expect(error.fault).toBe(fault);
    expect(error.sqlstate).toBe(sqlstate);
    expect(error.message).toBe(`${ACT}: server text`);
  });

  it("takes an unknown fatal error as the end of the session, or of the attempt", () => {
    expect(fromServer("XX000", "FATAL").fault).toBe("connection-lost");
    expect(fromServer("XX000", "FATAL", true).fault).toBe("connect");
  });

  it("keeps detail, place and names as facts, and prefers the server's hint", () => {
    const fields = {
      severity: "ERROR",
      sqlstate: "42501",
      message: "m",
      detail: "d",
      hint: "server's hint",
      where: "w",
      table: "t",
      constraint: "c",
    };
    const error = toSkyqError(new ServerError(fields), ACT, { facts: { own: 1 } });
    expect(error.hint).toBe("server's hint");
    expect(error.facts).toMatchObject({
      detail: "d",
      where: "w",
      table: "t",
      constraint: "c",
      sqlstate: "42501",
      own: 1,
    });
  });

  it.each([
    ["42501", "must be owner of table t", "Only its owner may do that"],
    ["42501", "permission denied for table t", "Grant the missing privilege"],
    ["53300", 'too many connections for role "r"', "ALTER ROLE"],
    ["53300", 'too many connections for database "d"', "ALTER DATABASE"],
    ["53300", "sorry, too many clients already", "max_connections"],
  ])("%s: %s has a hint of its own", (sqlstate, message, hint) => {
    const error = toSkyqError(new ServerError({ severity: "FATAL", sqlstate, message }), ACT, { connecting: true });
    expect(error.hint).toContain(hint);
  });

  it("reads the library's errors as well", () => {
    const library = Object.assign(new Error("library text"), {
      name: "PostgresError",
      code: "23505",
      severity: "ERROR",
      constraint_name: "pk",
    });
    const error = toSkyqError(library, ACT);
    expect(error.sqlstate).toBe("23505");
    expect(error.facts.constraint).toBe("pk");
  });
});

describe("during()", () => {
  const refusal = toSkyqError(
    new ServerError({ severity: "ERROR", sqlstate: "42501", message: "must be owner of table t" }),
    ACT,
  );

  it("says of the act what the server says of a statement", async () => {
    const error = await during("Cannot truncate public.t", Promise.reject(refusal)).catch((error) => error);
    expect(error.message).toBe("Cannot truncate public.t: must be owner of table t");
    expect([error.fault, error.sqlstate]).toEqual(["privilege", "42501"]);
    expect(error.hint).toContain("GRANT the owning role");
  });

  it("leaves results and other errors alone", async () => {
    expect(await during("Cannot x", Promise.resolve(1))).toBe(1);
    for (const other of [new SkyqError("refused", "no"), new TypeError("bug")]) {
      expect(await during("Cannot x", Promise.reject(other)).catch((error) => error)).toBe(other);
    }
  });
});

describe("toSkyqError() of a socket's error", () => {
  it("tells refused, missing and unknown places apart, with a hint each", () => {
    const refused = toSkyqError(new Deno.errors.ConnectionRefused("x"), ACT, { connecting: true });
    expect(refused.fault).toBe("connect");
    expect(refused.message).toBe(`${ACT}: connection refused`);
    expect(refused.hint).toContain("Is the server running");
    expect(toSkyqError(new Deno.errors.NotFound("x"), ACT, { connecting: true }).message).toContain("no such socket");
    const unknown = toSkyqError(Object.assign(new Error("x"), { code: "ENOTFOUND" }), ACT, { connecting: true });
    expect(unknown.message).toContain("host name not found");
  });

  it("depends on whether the connection was up", () => {
    const reset = new Deno.errors.ConnectionReset("x");
    expect(toSkyqError(reset, ACT).fault).toBe("connection-lost");
    expect(toSkyqError(reset, ACT, { connecting: true }).fault).toBe("connect");
    expect(toSkyqError(Object.assign(new Error("x"), { code: "EPIPE" }), ACT).fault).toBe("connection-lost");
  });

  it("hands on what is translated already, and throws bugs", () => {
    const error = new SkyqError("refused", "no");
    expect(toSkyqError(error, ACT)).toBe(error);
    expect(() => toSkyqError(new TypeError("bug"), ACT)).toThrow("bug");
  });
});

describe("shortStatement()", () => {
  it("is one line, short, and without the password of a role", () => {
    expect(shortStatement("select\n  1")).toBe("select 1");
    expect(shortStatement("alter role a password 's''x' login")).toBe("alter role a password '…' login");
    expect(shortStatement("x".repeat(1000)).length).toBe(301);
  });
});
