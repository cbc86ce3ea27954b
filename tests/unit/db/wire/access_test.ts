/** Every way in, on both kinds of connection: authentication methods × sslmode × certificates, with a real server. */
import { afterAll, describe, expect, it } from "vitest";
import { SkyqError } from "../../../../src/base/errors.ts";
import { openSql } from "../../../../src/db/sql.ts";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import { Cluster } from "../../../harness/cluster.ts";
import { waitFor } from "../../../harness/wait_for.ts";
import { CertificateMaker } from "./_certificates.ts";

const certificates = new CertificateMaker();
const root = certificates.root("root");
const otherRoot = certificates.root("other");
const client = certificates.signed(root, "cert_user", null);
const stranger = certificates.signed(otherRoot, "cert_user", null);
const serverCerts = {
  good: certificates.signed(root, "db.test", "DNS:db.test,IP:127.0.0.1"),
  elsewhere: certificates.signed(root, "elsewhere.test", "DNS:elsewhere.test"),
  expired: certificates.signed(root, "db.test", "DNS:db.test,IP:127.0.0.1", 0),
};

const cluster = await Cluster.start({
  name: "access",
  ssl: { ...serverCerts.good, ca: root.cert },
  settings: { password_encryption: "scram-sha-256" },
  pgHba: [
    "local all all scram-sha-256",
    "hostssl all tls_user 127.0.0.1/32 scram-sha-256",
    "hostnossl all plain_user 127.0.0.1/32 scram-sha-256",
    "hostssl all cert_user 127.0.0.1/32 cert",
    "host all trust_user 127.0.0.1/32 trust",
    "host all password_user 127.0.0.1/32 password",
    "host all md5_user 127.0.0.1/32 md5",
    "host all scram_user 127.0.0.1/32 scram-sha-256",
    "host all ident_user 127.0.0.1/32 ident",
  ],
});
const PASSWORD = "pä ss'\\w\u00a0ord";
const quoted = PASSWORD.replaceAll("'", "''");
await cluster.sql(
  "postgres",
  ["tls_user", "plain_user", "cert_user", "trust_user", "password_user", "scram_user", "ident_user"]
    .map((user) => `create role ${user} login password '${quoted}';`).join("") +
    `set password_encryption = md5; create role md5_user login password '${quoted}';` +
    "reset password_encryption; create role weak_user login password 'x'; alter role md5_user set datestyle = 'SQL, DMY'",
);
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  certificates[Symbol.dispose]();
});

const LIBPQ_PASSWORD = `'${PASSWORD.replace(/['\\]/g, "\\$&")}'`;
const NO_HOME = { get: () => undefined, home: null, osUser: "nobody", readTextFile: () => null, fileMode: () => null };

function target(user: string, extra = "") {
  const dsn = `host=127.0.0.1 port=${cluster.port} dbname=postgres user=${user} password=${LIBPQ_PASSWORD} ${extra}`;
  return parseTarget(dsn, NO_HOME);
}

interface Session {
  query<Row>(text: string): Promise<Row[]>;
  close(): Promise<void>;
}

const KINDS: [string, (target: ReturnType<typeof parseTarget>) => Promise<Session>][] = [
  ["WireConnection", (target) => WireConnection.connect(target)],
  ["SqlConnection", (target) => openSql(target)],
];

async function isEncrypted(session: Session): Promise<boolean> {
  const sql = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
  const [row] = await session.query<{ ssl: boolean }>(sql);
  await session.close();
  return row!.ssl;
}

/** What comes of connecting: "tls", "plain", or the fault. */
async function outcome(kind: (typeof KINDS)[number], user: string, extra: string): Promise<string> {
  try {
    return await isEncrypted(await kind[1](target(user, extra))) ? "tls" : "plain";
  } catch (error) {
    if (!(error instanceof SkyqError)) throw error;
    expect(error.message + error.hint + Deno.inspect(error)).not.toContain("ss'\\w");
    return error.fault;
  }
}

async function useServerCert(name: keyof typeof serverCerts): Promise<void> {
  const paths = (await cluster.sql("postgres", "show ssl_cert_file; show ssl_key_file")).trim().split("\n");
  Deno.writeTextFileSync(paths[0]!, serverCerts[name].cert);
  Deno.writeTextFileSync(paths[1]!, serverCerts[name].key);
  const loaded = () => cluster.sql("postgres", "select pg_conf_load_time()");
  const before = await loaded();
  await cluster.sql("postgres", "select pg_reload_conf()");
  // What a new session was told of the settings came from the postmaster, which has read the files by then.
  await waitFor(async () => await loaded() !== before, { what: "the server to read its certificate" });
}

for (const kind of KINDS) {
  describe(`${kind[0]} and authentication`, () => {
    const ways: [string, string, string][] = [
      ["trust_user", "sslmode=disable", "plain"],
      ["password_user", "sslmode=disable", "plain"],
      ["md5_user", "sslmode=disable", "plain"],
      ["scram_user", "sslmode=disable", "plain"],
      ["scram_user", "sslmode=require", "tls"],
      ["password_user", "sslmode=disable require_auth=scram-sha-256", "auth"],
      ["ident_user", "sslmode=disable", "auth"],
      ["weak_user", "sslmode=disable", "auth"],
      ["nobody", "sslmode=disable", "auth"],
    ];
    it.each(ways)("%s with %s: %s", async (user, extra, expected) => {
      expect(await outcome(kind, user, extra)).toBe(expected);
    });

    it.each(["password_user", "md5_user", "scram_user"])(
      "names the user when the password of %s is wrong",
      async (user) => {
        const failing = kind[1](target(user, "sslmode=prefer password=wr0ng"));
        const error = await failing.then(() => null, (error) => error as SkyqError);
        expect(error?.fault).toBe("auth");
        expect(error?.message).toContain(`password authentication failed for user "${user}"`);
        expect(error?.hint).toContain("PGPASSWORD");
        expect(Deno.inspect(error)).not.toContain("wr0ng");
      },
    );

    it("gets in by the socket", async () => {
      const dsn =
        `host=${cluster.socketDir} port=${cluster.port} dbname=postgres user=scram_user password=${LIBPQ_PASSWORD}`;
      // sslmode means nothing on a socket
      expect(await isEncrypted(await kind[1](parseTarget(`${dsn} sslmode=require`, NO_HOME)))).toBe(false);
    });

    it("says that a database does not exist", async () => {
      const error = await kind[1](target("trust_user", "dbname=missing")).then(
        () => null,
        (error) => error as SkyqError,
      );
      expect(error?.fault).toBe("connect");
      expect(error?.message).toContain('database "missing" does not exist');
    });

    it("makes text the same whatever the role's settings are", async () => {
      const session = await kind[1](target("md5_user"));
      const [row] = await session.query<{ d: string }>("select date '2026-02-01' as d");
      await session.close();
      expect(row!.d).toBe("2026-02-01");
    });
  });

  describe(`${kind[0]} and TLS`, () => {
    const dns = "host=db.test hostaddr=127.0.0.1";
    const good = `sslrootcert=${root.file}`;
    const other = `sslrootcert=${otherRoot.file}`;
    const ways: [string, keyof typeof serverCerts, string, string, string][] = [
      ["goes without", "good", "scram_user", "sslmode=disable", "plain"],
      ["prefers TLS", "good", "scram_user", "sslmode=prefer", "tls"],
      ["prefers TLS and does without where it must", "good", "plain_user", "sslmode=prefer", "plain"],
      ["allows TLS", "good", "scram_user", "sslmode=allow", "plain"],
      ["allows TLS and uses it where it must", "good", "tls_user", "sslmode=allow", "tls"],
      ["cannot go without where the server insists", "good", "tls_user", "sslmode=disable", "auth"],
      ["requires TLS, of anybody", "good", "tls_user", "sslmode=require", "tls"],
      ["requires TLS, of our root when that is named", "good", "tls_user", `sslmode=require ${good}`, "tls"],
      ["requires TLS, not of another root", "good", "tls_user", `sslmode=require ${other}`, "connect"],
      ["prefers TLS, but not of another root", "good", "scram_user", `sslmode=prefer ${other}`, "plain"],
      ["verifies the root", "good", "tls_user", `sslmode=verify-ca ${good}`, "tls"],
      ["refuses another root", "good", "tls_user", `sslmode=verify-ca ${other}`, "connect"],
      ["verifies name and root", "good", "tls_user", `${dns} sslmode=verify-full ${good}`, "tls"],
      ["verifies an address", "good", "tls_user", `sslmode=verify-full ${good}`, "tls"],
      ["refuses another root in full, too", "good", "tls_user", `${dns} sslmode=verify-full ${other}`, "connect"],
      ["does not verify without a root", "good", "tls_user", "sslmode=verify-full", "config"],
      ["does not verify with a missing root", "good", "tls_user", "sslmode=verify-ca sslrootcert=/no", "config"],
      ["does not find our root among the system's", "good", "tls_user", `${dns} sslrootcert=system`, "connect"],
      ["accepts another name with verify-ca", "elsewhere", "tls_user", `${dns} sslmode=verify-ca ${good}`, "tls"],
      [
        "refuses another name with verify-full",
        "elsewhere",
        "tls_user",
        `${dns} sslmode=verify-full ${good}`,
        "connect",
      ],
      ["requires TLS, under any name", "elsewhere", "tls_user", `${dns} sslmode=require`, "tls"],
      ["refuses an expired certificate", "expired", "tls_user", `${dns} sslmode=verify-ca ${good}`, "connect"],
      [
        "refuses an expired certificate in full, too",
        "expired",
        "tls_user",
        `${dns} sslmode=verify-full ${good}`,
        "connect",
      ],
      ["requires TLS, of any age", "expired", "tls_user", "sslmode=require", "tls"],
    ];
    let current = "";
    it.each(ways)("%s (certificate: %s; %s, %s)", async (_name, cert, user, extra, expected) => {
      if (cert !== current) await useServerCert(cert);
      current = cert;
      expect(await outcome(kind, user, extra)).toBe(expected);
    });

    it("explains what is wrong with the certificate", async () => {
      await useServerCert("good");
      const failing = kind[1](target("tls_user", `sslmode=verify-ca ${other}`));
      const error = await failing.then(() => null, (error) => error as SkyqError);
      expect(error?.message).toContain("TLS failed");
      expect(error?.hint).toContain("sslrootcert");
    });

    const clientFiles = (name: string, { cert, key }: { cert: string; key: string }) =>
      `sslcert=${certificates.file(`${name}.crt`, cert)} sslkey=${certificates.file(`${name}.key`, key)}`;
    const clientWays: [string, string, string, string][] = [
      ["none", "", "sslmode=require", "auth"],
      ["ours, unverified", clientFiles("ours", client), "sslmode=require", "tls"],
      ["ours, verify-ca", clientFiles("ours", client), `sslmode=verify-ca ${good}`, "tls"],
      ["ours, verify-full", clientFiles("ours", client), `${dns} sslmode=verify-full ${good}`, "tls"],
      ["ours, wrong root", clientFiles("ours", client), `${dns} sslmode=verify-ca ${other}`, "connect"],
      [
        "ours, wrong name",
        clientFiles("ours", client),
        `host=no.test hostaddr=127.0.0.1 sslmode=verify-full ${good}`,
        "connect",
      ],
      ["a stranger's", clientFiles("stranger", stranger), "sslmode=require", "connect"],
      ["without key", `sslcert=${certificates.file("lone.crt", client.cert)}`, "sslmode=require", "config"],
      ["missing", "sslcert=/no/cert sslkey=/no/key", "sslmode=require", "config"],
    ];
    it.each(clientWays)("shows a client certificate: %s", async (_name, files, extra, expected) => {
      expect(await outcome(kind, "cert_user", `${files} ${extra}`)).toBe(expected);
    });

    it("refuses a private key that others may read", async () => {
      const key = certificates.file("open.key", client.key, 0o644);
      const extra = `sslcert=${certificates.file("open.crt", client.cert)} sslkey=${key} sslmode=require`;
      expect(await outcome(kind, "cert_user", extra)).toBe("config");
    });
  });
}

describe("TLS with a root of our own", () => {
  it("does not trust the public roots besides it", async () => {
    // A process that takes our root for a public one, and is told to trust another only.
    const script = certificates.file(
      "public.ts",
      `import { parseTarget } from "${new URL("../../../../src/db/target.ts", import.meta.url)}";
       import { WireConnection } from "${new URL("../../../../src/db/wire/connection.ts", import.meta.url)}";
       for (const file of Deno.args.slice(1)) {
         await WireConnection.connect(parseTarget(Deno.args[0] + file)).then(
           async (db) => { await db.close(); console.log("tls"); }, (error) => console.log(error.fault));
       }`,
    );
    const dsn =
      `host=db.test hostaddr=127.0.0.1 port=${cluster.port} dbname=postgres user=tls_user password=${LIBPQ_PASSWORD} ` +
      "sslmode=verify-full sslrootcert=";
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", script, dsn, otherRoot.file, "system", root.file],
      env: { DENO_TLS_CA_STORE: "system", SSL_CERT_FILE: root.file },
      stderr: "inherit",
    }).output();
    expect(new TextDecoder().decode(stdout).trim().split("\n")).toEqual(["connect", "tls", "tls"]);
  });
});

/** Waits until the server runs a sleep of this user. */
function hasBegun(user: string): Promise<string> {
  const sql =
    `select 1 from pg_stat_activity where usename = '${user}' and state = 'active' and query like '%pg_sleep%'`;
  return waitFor(async () => await cluster.sql("postgres", sql) || null, { what: "the statement to begin" });
}

describe("WireConnection.cancel()", () => {
  it.each(["sslmode=disable", "sslmode=require", `sslmode=verify-ca sslrootcert=${root.file}`])(
    "works with %s",
    async (extra) => {
      const db = await WireConnection.connect(target("scram_user", extra));
      const sleeping = db.query("select pg_sleep(20)").then(() => null, (error) => error as SkyqError);
      await hasBegun("scram_user");
      await db.cancel();
      const error = await sleeping;
      expect(error?.sqlstate).toBe("57014");
      expect(error?.fault).toBe("timeout");
      expect(await db.query("select 1 as one")).toEqual([{ one: 1 }]);
      await db.close();
    },
  );
});

describe("a session that the server ends", () => {
  it.each(["sslmode=disable", "sslmode=require", `sslmode=verify-ca sslrootcert=${root.file}`])(
    "is noticed with %s",
    async (extra) => {
      for (const [, open] of KINDS) {
        const db = await open(target("scram_user", extra));
        const sleeping = db.query("select pg_sleep(20)").then(() => null, (error) => error as SkyqError);
        await hasBegun("scram_user");
        await cluster.sql(
          "postgres",
          "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'scram_user'",
        );
        expect((await sleeping)?.fault).toBe("connection-lost");
        await db.close();
      }
    },
  );
});
