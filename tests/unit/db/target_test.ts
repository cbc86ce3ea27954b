import { describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { type Environment, parseTarget } from "../../../src/db/target.ts";

/** An environment made of literals: variables, files (0600 unless `modes` says else), a home. */
function environment(
  variables: Record<string, string> = {},
  files: Record<string, string> = {},
  modes: Record<string, number> = {},
): Environment {
  return {
    get: (name) => variables[name],
    home: "/home/app",
    osUser: "osuser",
    readTextFile: (path) => files[path] ?? null,
    fileMode: (path) => path in files ? modes[path] ?? 0o600 : null,
  };
}

function parse(dsn: string, env = environment()) {
  return parseTarget(dsn, env);
}

function failure(dsn: string, env = environment()): SkyqError {
  try {
    parseTarget(dsn, env);
  } catch (error) {
    if (error instanceof SkyqError) return error;
    throw error;
  }
  throw new Error("parseTarget() did not throw");
}

describe("parseTarget() of keywords", () => {
  it("reads pairs with spaces, quotes and backslashes", () => {
    const target = parse("host = db.example  port=5433 user='o\\'brien' dbname = 'my shop' password=a\\ b");
    expect(target.hosts).toEqual([{ host: "db.example", hostaddr: null, port: 5433, isUnix: false }]);
    expect(target.user).toBe("o'brien");
    expect(target.database).toBe("my shop");
    expect(target.passwordFor(target.hosts[0]!).password).toBe("a b");
  });

  it("reads a quoted backslash and an empty value", () => {
    const target = parse("host=h user='a\\\\b' options='' password=''");
    expect(target.user).toBe("a\\b");
    expect(target.options).toBeNull();
  });

  it("pairs lists of hosts, addresses and ports", () => {
    expect(parse("host=a,b,c port=1,,3").hosts.map(({ host, port }) => `${host}:${port}`)).toEqual([
      "a:1",
      "b:5432",
      "c:3",
    ]);
    expect(parse("host=a,b port=7").hosts.map(({ port }) => port)).toEqual([7, 7]);
    expect(parse("host=a,b hostaddr=1.1.1.1,2.2.2.2").hosts.map(({ hostaddr }) => hostaddr)).toEqual([
      "1.1.1.1",
      "2.2.2.2",
    ]);
    expect(failure("host=a,b port=1,2,3").fault).toBe("config");
    expect(failure("host=a,b hostaddr=1.1.1.1").fault).toBe("config");
  });

  it("takes a directory as a socket, unless an address is given", () => {
    expect(parse("host=/run/pg").hosts[0]!.isUnix).toBe(true);
    expect(parse("host=/run/pg hostaddr=127.0.0.1").hosts[0]!.isUnix).toBe(false);
  });

  it("fills in user, database, port and the socket directory", () => {
    const target = parse("");
    expect(target.user).toBe("osuser");
    expect(target.database).toBe("osuser");
    expect(target.hosts[0]!.port).toBe(5432);
    expect(target.connectTimeoutMs).toBe(15_000);
    expect(parse("user=app").database).toBe("app");
  });

  it("limits the connect time always", () => {
    expect(parse("connect_timeout=3").connectTimeoutMs).toBe(3000);
    expect(parse("connect_timeout=0").connectTimeoutMs).toBe(15_000);
    expect(failure("connect_timeout=soon").message).toContain('"soon"');
  });

  it("names an unknown keyword and the nearest known one", () => {
    const error = failure("hots=a");
    expect(error.fault).toBe("config");
    expect(error.message).toBe('Cannot use connect string: unknown keyword "hots"');
    expect(error.hint).toBe('Did you mean "host"?');
  });

  it("refuses what is no list of pairs, without repeating it", () => {
    for (const dsn of ["shop", "host=a secret", "host=a password='secret", "host=a port=secret2x"]) {
      expect(failure(dsn).fault).toBe("config");
    }
    expect(failure("password=x secret").message).not.toContain("secret");
    expect(failure("password='secret").message).not.toContain("secret");
  });

  it("refuses what it cannot do, and takes what means what it does anyway", () => {
    for (const dsn of ["gssencmode=require", "sslcrl=/x", "keepalives=0", "channel_binding=require", "sslmode=maybe"]) {
      expect(failure(`host=h ${dsn}`).fault).toBe("config");
    }
    for (const dsn of ["gssencmode=prefer", "keepalives=1", "channel_binding=prefer", "client_encoding=UTF8"]) {
      expect(parse(`host=h ${dsn}`).hosts.length).toBe(1);
    }
    expect(failure("require_auth=md5,!none").message).toContain("mixes");
    expect(failure("require_auth=magic").message).toContain('"magic"');
  });
});

describe("parseTarget() of a URI", () => {
  it("reads all parts, decoded", () => {
    const target = parse(
      "postgresql://o%40b:p%3Aw%2F@db.example:5433/my%20shop?application_name=a%20b&sslmode=require",
    );
    expect(target.user).toBe("o@b");
    expect(target.passwordFor(target.hosts[0]!).password).toBe("p:w/");
    expect(target.database).toBe("my shop");
    expect(target.applicationName).toBe("a b");
    expect(target.sslMode).toBe("require");
  });

  it("reads several hosts, IPv6 and a socket directory", () => {
    const hosts = parse("postgres://a,b:2,[::1]:3/d").hosts;
    expect(hosts.map(({ host, port }) => `${host} ${port}`)).toEqual(["a 5432", "b 2", "::1 3"]);
    expect(parse("postgres://%2Frun%2Fpg/d").hosts[0]!.isUnix).toBe(true);
    expect(parse("postgres:///d?host=/run/pg&port=7").hosts[0]).toMatchObject({ host: "/run/pg", port: 7 });
    expect(parse("postgres://[::1]/d").display).toBe('database "d" at [::1]:5432');
  });

  it("takes ssl=true", () => {
    expect(parse("postgres://h/d?ssl=true").sslMode).toBe("require");
  });

  it("refuses broken encoding and unknown parameters, without the text", () => {
    const error = failure("postgres://u:sec%ret@h/d");
    expect(error.fault).toBe("config");
    expect(error.message).not.toContain("sec");
    expect(failure("postgres://h/d?foo=1").message).toContain('"foo"');
    expect(failure("postgres://h/d?foo").fault).toBe("config");
  });
});

describe("parseTarget() and its surroundings", () => {
  it("prefers the string over the service, the service over the environment", () => {
    const env = environment(
      { PGHOST: "env", PGPORT: "1", PGDATABASE: "envdb", PGUSER: "envuser" },
      { "/home/app/.pg_service.conf": "# c\n[other]\nhost=no\n\n[shop]\nhost=svc\nport=2\ndbname = svcdb\n" },
    );
    const target = parse("service=shop port=3", env);
    expect(target.hosts[0]).toMatchObject({ host: "svc", port: 3 });
    expect(target.database).toBe("svcdb");
    expect(target.user).toBe("envuser");
  });

  it("finds the service file by PGSERVICEFILE and PGSYSCONFDIR", () => {
    const files = { "/s/mine": "[a]\nhost=mine\n", "/etc/pg/pg_service.conf": "[b]\nhost=system\n" };
    const env = environment({ PGSERVICEFILE: "/s/mine", PGSYSCONFDIR: "/etc/pg", PGSERVICE: "b" }, files);
    expect(parse("service=a", env).hosts[0]!.host).toBe("mine");
    expect(parse("", env).hosts[0]!.host).toBe("system");
    expect(failure("service=c", env).message).toContain('service "c"');
  });

  it("refuses a broken service section with its line", () => {
    const env = environment({}, { "/home/app/.pg_service.conf": "[a]\nhost\n[b]\nservice=c\n[c]\nhots=x" });
    expect(failure("service=a", env).message).toContain("line 2");
    expect(failure("service=b", env).fault).toBe("config");
    expect(failure("service=c", env).hint).toContain("host");
  });

  it("reads passwords from the password file: first match, wildcards, escapes", () => {
    const file = [
      "# comment",
      "db.example:5432:shop:app:first",
      "db.example:*:shop:app:second\\:with\\\\escapes",
      "localhost:*:*:app:socket",
      "::1:too:few",
      "\\:\\:1:*:*:*:six",
      "*:*:*:other:ünïcode",
    ].join("\n");
    const env = environment({}, { "/home/app/.pgpass": file });
    const password = (dsn: string) => {
      const target = parse(dsn, env);
      return target.passwordFor(target.hosts[0]!).password;
    };
    expect(password("host=db.example dbname=shop user=app")).toBe("first");
    expect(password("host=db.example port=1 dbname=shop user=app")).toBe("second:with\\escapes");
    expect(password("host=/tmp dbname=x user=app")).toBe("socket");
    expect(password("host=/elsewhere dbname=x user=app")).toBeNull();
    expect(password("host=::1 user=x")).toBe("six");
    expect(password("host=any user=other")).toBe("ünïcode");
    expect(password("host=any user=other password=own")).toBe("own");
  });

  it("does not use a password file that others may read, and says so", () => {
    const files = { "/home/app/.pgpass": "*:*:*:*:open", "/mine": "*:*:*:*:mine" };
    const env = environment({}, files, { "/home/app/.pgpass": 0o644 });
    const target = parse("host=h", env);
    const { password, note } = target.passwordFor(target.hosts[0]!);
    expect(password).toBeNull();
    expect(note).toContain("chmod 0600");
    const other = parse("host=h passfile=/mine", env);
    expect(other.passwordFor(other.hosts[0]!).password).toBe("mine");
  });

  it("uses certificates in the home directory when they are there", () => {
    const env = environment({}, { "/home/app/.postgresql/root.crt": "", "/home/app/.postgresql/postgresql.crt": "" });
    const target = parse("host=h", env);
    expect(target.sslRootCert).toBe("/home/app/.postgresql/root.crt");
    expect(target.sslCert).toBe("/home/app/.postgresql/postgresql.crt");
    expect(target.sslKey).toBeNull();
    expect(parse("host=h").sslRootCert).toBeNull();
  });

  it("makes sslrootcert=system verify fully", () => {
    expect(parse("host=h sslrootcert=system").sslMode).toBe("verify-full");
    expect(failure("host=h sslrootcert=system sslmode=require").fault).toBe("config");
    expect(failure("host=h sslnegotiation=direct").fault).toBe("config");
  });
});

describe("Target in print", () => {
  const secret = "s3cr3t";

  it("shows no password, whichever way it came in", () => {
    const env = environment({ PGPASSWORD: secret });
    for (const dsn of [`host=h user=u password=${secret}`, `postgres://u:${secret}@h/d`, "host=h user=u"]) {
      const target = parse(dsn, env);
      const prints = [
        JSON.stringify(target),
        Deno.inspect(target, { depth: 9 }),
        String(target),
        target.redacted,
        target.display,
      ];
      for (const print of prints) expect(print).not.toContain(secret);
      expect(target.passwordFor(target.hosts[0]!).password).toBe(secret);
    }
  });

  it("redacts to a string that parses to the same target", () => {
    const target = parse("host=a,b port=1,2 user='o\\'b' dbname='x y' password=p options='-c a=b\\\\ c'");
    expect(target.redacted).toBe("host=a,b port=1,2 user='o\\'b' dbname='x y' options='-c a=b\\\\ c'");
    const again = parse(target.redacted);
    expect(again.hosts).toEqual(target.hosts);
    expect(again.user).toBe(target.user);
    expect(again.options).toBe("-c a=b\\ c");
    expect(parse("host=h user=u").redacted).toBe("host=h user=u dbname=u");
  });

  it("displays where it is", () => {
    expect(parse("host=a,b port=1,2 dbname=x").display).toBe('database "x" at a:1, b:2');
  });
});
