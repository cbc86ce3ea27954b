/**
 * Where a database is and how to get in: everything libpq reads from a connect string, a service file, the password
 * file and the PG* environment, so that a connect string that works with psql works here.
 */
import { userInfo } from "node:os";
import { SkyqError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";

export type SslMode = "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full";
export type SessionAttrs = "any" | "read-write" | "read-only" | "primary" | "standby" | "prefer-standby";

export interface TargetHost {
  /** Name, address or socket directory, as given. */
  readonly host: string;
  /** Address to use instead of looking `host` up. */
  readonly hostaddr: string | null;
  readonly port: number;
  readonly isUnix: boolean;
}

/** What the outside lends to `parseTarget`: replaceable in tests. */
export interface Environment {
  get(name: string): string | undefined;
  readonly home: string | null;
  readonly osUser: string | null;
  /** @returns null when there is no such file */
  readTextFile(path: string): string | null;
  /** Permission bits, or null where there are none (Windows) or no file. */
  fileMode(path: string): number | null;
}

export const processEnvironment: Environment = {
  get: (name) => Deno.env.get(name),
  get home() {
    return Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE") ?? null;
  },
  get osUser() {
    try {
      return userInfo().username;
    } catch {
      return Deno.env.get("USER") ?? null;
    }
  },
  readTextFile(path) {
    try {
      return Deno.readTextFileSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
      throw error;
    }
  },
  fileMode(path) {
    try {
      return Deno.statSync(path).mode;
    } catch {
      return null;
    }
  },
};

interface Keyword {
  env?: string;
  isSecret?: true;
  /** The values skyq can do as asked. Anything else is refused rather than ignored. */
  values?: readonly string[];
  /** Why another value is refused. */
  because?: string;
}

const NO_GSS = "GSSAPI is not supported";
const NO_CRL = "certificate revocation lists are not supported";
const KEEPALIVE = "how often the system probes a silent connection cannot be set here";

/** libpq's keywords. Those with `values` and `because` exist so that a connect string made for libpq is either done as asked or refused. */
const KEYWORDS: Record<string, Keyword> = {
  host: { env: "PGHOST" },
  hostaddr: { env: "PGHOSTADDR" },
  port: { env: "PGPORT" },
  dbname: { env: "PGDATABASE" },
  user: { env: "PGUSER" },
  password: { env: "PGPASSWORD", isSecret: true },
  passfile: { env: "PGPASSFILE" },
  service: { env: "PGSERVICE" },
  options: { env: "PGOPTIONS" },
  application_name: { env: "PGAPPNAME" },
  fallback_application_name: {},
  connect_timeout: { env: "PGCONNECT_TIMEOUT" },
  client_encoding: { values: ["", "utf8", "utf-8", "unicode", "auto"], because: "the encoding is always UTF8" },
  target_session_attrs: {
    env: "PGTARGETSESSIONATTRS",
    values: ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"],
  },
  load_balance_hosts: { env: "PGLOADBALANCEHOSTS", values: ["disable", "random"] },
  sslmode: { env: "PGSSLMODE", values: ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] },
  sslrootcert: { env: "PGSSLROOTCERT" },
  sslcert: { env: "PGSSLCERT" },
  sslkey: { env: "PGSSLKEY" },
  sslpassword: { isSecret: true, values: [""], because: "encrypted keys are not supported" },
  sslsni: { env: "PGSSLSNI", values: ["1"], because: "the host name is always sent" },
  sslcompression: { env: "PGSSLCOMPRESSION", values: ["0"], because: "TLS compression is not supported" },
  sslnegotiation: { env: "PGSSLNEGOTIATION", values: ["postgres", "direct"] },
  sslcertmode: { env: "PGSSLCERTMODE", values: ["disable", "allow"], because: "a certificate cannot be insisted on" },
  ssl_min_protocol_version: {
    env: "PGSSLMINPROTOCOLVERSION",
    values: ["", "TLSv1", "TLSv1.1", "TLSv1.2"],
    because: "TLS 1.2 is always the lowest",
  },
  ssl_max_protocol_version: {
    env: "PGSSLMAXPROTOCOLVERSION",
    values: ["", "TLSv1.3"],
    because: "TLS 1.3 is always the highest",
  },
  sslcrl: { env: "PGSSLCRL", values: [""], because: NO_CRL },
  sslcrldir: { env: "PGSSLCRLDIR", values: [""], because: NO_CRL },
  channel_binding: {
    env: "PGCHANNELBINDING",
    values: ["disable", "prefer"],
    because: "SCRAM cannot be bound to the TLS channel here; sslmode=verify-full protects from go-betweens as well",
  },
  require_auth: { env: "PGREQUIREAUTH" },
  requirepeer: { env: "PGREQUIREPEER", values: [""], because: "the server's user cannot be asked for" },
  gssencmode: { env: "PGGSSENCMODE", values: ["disable", "prefer"], because: NO_GSS },
  gsslib: { env: "PGGSSLIB", values: ["gssapi"], because: NO_GSS },
  krbsrvname: { env: "PGKRBSRVNAME" },
  gssdelegation: { env: "PGGSSDELEGATION", values: ["0"], because: NO_GSS },
  keepalives: { values: ["1"], because: "keepalives are always on" },
  keepalives_idle: { values: ["0"], because: KEEPALIVE },
  keepalives_interval: { values: ["0"], because: KEEPALIVE },
  keepalives_count: { values: ["0"], because: KEEPALIVE },
  tcp_user_timeout: { values: ["0"], because: KEEPALIVE },
  replication: { values: ["false", "off", "no", "0"], because: "replication connections are not used" },
};

const AUTH_METHODS = ["password", "md5", "scram-sha-256", "none", "gss", "sspi", "creds", "oauth"];

const DEFAULT_PORT = "5432";
/** A connect attempt per address ends after this many seconds when nothing else is asked for; 0 means this as well. */
const DEFAULT_CONNECT_TIMEOUT = 15;
const SOCKET_DIRECTORIES = ["/var/run/postgresql", "/tmp"];

/** One parsed connect string. The password is private and never part of any printed form. */
export class Target {
  readonly hosts: readonly TargetHost[];
  readonly database: string;
  readonly user: string;
  readonly applicationName: string | null;
  /** Command-line options for the server (`-c name=value`). */
  readonly options: string | null;
  readonly connectTimeoutMs: number;
  readonly sessionAttrs: SessionAttrs;
  readonly isHostOrderRandom: boolean;
  readonly sslMode: SslMode;
  /** Path, or "system"; null when neither given nor found in the home directory. */
  readonly sslRootCert: string | null;
  readonly sslCert: string | null;
  readonly sslKey: string | null;
  /** TLS from the first byte, without asking (PostgreSQL 17 and newer). */
  readonly isDirectTls: boolean;
  readonly requireAuth: string | null;
  /** The connect string that was parsed as keywords, without its secrets. Can be parsed again. */
  readonly redacted: string;
  readonly #settings: Settings;
  readonly #givenPassword: string | null;
  readonly #environment: Environment;

  /** Use `parseTarget`. */
  constructor(settings: Settings, given: ReadonlyMap<string, string>, environment: Environment) {
    const get = (name: string) => settings.get(name) || null;
    this.#settings = settings;
    this.#givenPassword = given.get("password") ?? null;
    this.#environment = environment;
    this.hosts = parseHosts(settings);
    this.user = get("user") ?? required(environment.osUser, "user", "nobody says who runs skyq");
    this.database = get("dbname") ?? this.user;
    this.applicationName = get("application_name") ?? get("fallback_application_name");
    this.options = get("options");
    this.connectTimeoutMs = parseTimeout(get("connect_timeout")) * 1000;
    this.sessionAttrs = (get("target_session_attrs") ?? "any") as SessionAttrs;
    this.isHostOrderRandom = get("load_balance_hosts") === "random";
    this.requireAuth = get("require_auth");
    checkRequireAuth(this.requireAuth);

    const inHome = (name: string) => environment.home === null ? null : `${environment.home}/.postgresql/${name}`;
    const ifThere = (path: string | null) => path !== null && environment.fileMode(path) !== null ? path : null;
    this.sslRootCert = get("sslrootcert") ?? ifThere(inHome("root.crt"));
    const usesCert = get("sslcertmode") !== "disable";
    this.sslCert = usesCert ? get("sslcert") ?? ifThere(inHome("postgresql.crt")) : null;
    this.sslKey = usesCert ? get("sslkey") ?? ifThere(inHome("postgresql.key")) : null;
    this.sslMode = parseSslMode(get("sslmode"), this.sslRootCert);
    this.isDirectTls = get("sslnegotiation") === "direct";
    if (this.isDirectTls && ["disable", "allow", "prefer"].includes(this.sslMode)) {
      throw badDsn(`sslnegotiation "direct" needs a stronger sslmode than "${this.sslMode}"`, {
        hint: "Use sslmode=require, verify-ca or verify-full.",
      });
    }
    this.redacted = toKeywords(given, this.database);
  }

  /** @example `database "shop" at db.example:5432` */
  get display(): string {
    return `database "${this.database}" at ${this.hosts.map(displayHost).join(", ")}`;
  }

  /** As `display`, for the one host that is being talked to. */
  displayAt(host: TargetHost): string {
    return `database "${this.database}" at ${displayHost(host)}`;
  }

  /**
   * The password for `host`: the given one, else PGPASSWORD, else from the password file, which is read each time.
   * @returns `note` says why a password file was not used, if there is one that was not
   */
  passwordFor(host: TargetHost): { password: string | null; note: string | null } {
    const given = this.#settings.get("password");
    if (given) return { password: given, note: null };
    const home = this.#environment.home;
    const path = this.#settings.get("passfile") || (home === null ? null : `${home}/.pgpass`);
    if (path === null) return { password: null, note: null };
    const mode = this.#environment.fileMode(path);
    if (mode !== null && (mode & 0o077) !== 0) {
      return { password: null, note: `Password file "${path}" is not used, others may read it: chmod 0600 it.` };
    }
    const text = this.#environment.readTextFile(path);
    if (text === null) return { password: null, note: null };
    // The default socket directory goes by the name localhost there, as in libpq.
    const isDefaultSocket = host.isUnix && SOCKET_DIRECTORIES.includes(host.host);
    const hostName = isDefaultSocket ? "localhost" : host.host;
    const wanted = [hostName, String(host.port), this.database, this.user];
    return { password: findPassword(text, wanted), note: null };
  }

  /** The same with some keywords changed. @param keepPassword whether a password of the connect string goes along */
  with(keywords: Readonly<Record<string, string>>, { keepPassword }: { keepPassword: boolean }): Target {
    const password = keepPassword && this.#givenPassword !== null ? { password: this.#givenPassword } : {};
    const parts = Object.entries({ ...password, ...keywords }).map(([name, value]) => `${name}=${quoteValue(value)}`);
    return parseTarget(`${this.redacted} ${parts.join(" ")}`, this.#environment);
  }

  toJSON(): string {
    return this.redacted;
  }

  [Symbol.for("Deno.customInspect")](): string {
    return `Target(${this.redacted})`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `Target(${this.redacted})`;
  }
}

type Settings = Map<string, string>;

/**
 * Parses a keyword string or a `postgres://` URI and fills in service file, environment and defaults.
 * @throws {SkyqError} `config`, naming what is wrong with the string; never with a password in it
 */
export function parseTarget(dsn: string, environment: Environment = processEnvironment): Target {
  const text = dsn.trim();
  const given = /^postgres(ql)?:\/\//i.test(text) ? parseUri(text) : parseKeywords(text);
  const settings: Settings = new Map(given);

  const serviceName = settings.get("service") || environment.get("PGSERVICE");
  if (serviceName) {
    for (const [name, value] of readService(serviceName, environment)) {
      if (!settings.has(name)) settings.set(name, value);
    }
  }
  for (const [name, { env }] of Object.entries(KEYWORDS)) {
    const value = env === undefined ? undefined : environment.get(env);
    if (value && !settings.has(name)) settings.set(name, value);
  }
  for (const [name, value] of settings) checkValue(name, value);
  return new Target(settings, given, environment);
}

function badDsn(state: string, options: { hint?: string } = {}): SkyqError {
  return new SkyqError("config", `Cannot use connect string: ${state}`, options);
}

function required(value: string | null, name: string, why: string): string {
  if (value) return value;
  throw badDsn(`no ${name} given, and ${why}`, { hint: `Add ${name}=… to it.` });
}

function checkValue(name: string, value: string): void {
  const keyword = KEYWORDS[name]!;
  if (keyword.values === undefined || keyword.values.includes(value) || value === "") return;
  if (name === "client_encoding" && keyword.values.includes(value.toLowerCase())) return;
  const shown = keyword.isSecret ? "" : ` "${value}"`;
  if (keyword.because) throw badDsn(`${name}${shown} is not possible: ${keyword.because}`);
  throw badDsn(`unknown ${name}${shown}`, { hint: `It may be ${keyword.values.join(", ")}.` });
}

function setKeyword(settings: Settings, name: string, value: string): void {
  if (!Object.hasOwn(KEYWORDS, name)) {
    const hint = didYouMean(name, Object.keys(KEYWORDS));
    throw badDsn(`unknown keyword "${name}"`, hint === undefined ? {} : { hint });
  }
  settings.set(name, value);
}

/** `name = value` pairs; values with spaces stand in single quotes; a backslash takes the next character as it is. */
function parseKeywords(text: string): Settings {
  const settings: Settings = new Map();
  let at = 0;
  const skipSpace = () => {
    while (at < text.length && /\s/.test(text[at]!)) at++;
  };
  for (skipSpace(); at < text.length; skipSpace()) {
    const start = at;
    while (at < text.length && !/[\s=]/.test(text[at]!)) at++;
    const name = text.slice(start, at);
    skipSpace();
    if (text[at] !== "=") {
      // What stands there may be part of a password, so it is not repeated.
      throw badDsn(settings.size === 0 ? 'no "=" after its first word' : 'no "=" after one of its words', {
        hint: "Write keyword=value pairs, as in: host=db.example dbname=shop user=app",
      });
    }
    at++;
    skipSpace();
    let value = "";
    if (text[at] === "'") {
      for (at++; text[at] !== "'"; at++) {
        if (text[at] === "\\") at++;
        if (at >= text.length) throw badDsn(`the quoted value of "${name}" has no end`);
        value += text[at];
      }
      at++;
    } else {
      for (; at < text.length && !/\s/.test(text[at]!); at++) {
        if (text[at] === "\\" && at + 1 < text.length) at++;
        value += text[at];
      }
    }
    setKeyword(settings, name, value);
  }
  return settings;
}

/** `postgres://user:password@host:port,[::1]:5433/dbname?keyword=value&…` */
function parseUri(text: string): Settings {
  const settings: Settings = new Map();
  const rest = text.slice(text.indexOf("://") + 3);
  const queryAt = rest.indexOf("?");
  const beforeQuery = queryAt === -1 ? rest : rest.slice(0, queryAt);
  // A user or password with a raw "/" or "@" has to be percent-encoded, so the first "/" ends the hosts.
  const slashAt = beforeQuery.indexOf("/");
  const authority = slashAt === -1 ? beforeQuery : beforeQuery.slice(0, slashAt);
  const atSign = authority.lastIndexOf("@");
  if (atSign !== -1) {
    const login = authority.slice(0, atSign);
    const colon = login.indexOf(":");
    const user = percentDecode(colon === -1 ? login : login.slice(0, colon));
    if (user !== "") settings.set("user", user);
    if (colon !== -1) settings.set("password", percentDecode(login.slice(colon + 1)));
  }
  const hosts: string[] = [];
  const ports: string[] = [];
  for (const place of authority.slice(atSign + 1).split(",")) {
    const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(place);
    const colon = place.lastIndexOf(":");
    if (bracketed) {
      hosts.push(percentDecode(bracketed[1]!));
      ports.push(bracketed[2] ?? "");
    } else {
      hosts.push(percentDecode(colon === -1 ? place : place.slice(0, colon)));
      ports.push(colon === -1 ? "" : percentDecode(place.slice(colon + 1)));
    }
  }
  if (hosts.some((host) => host !== "")) settings.set("host", hosts.join(","));
  if (ports.some((port) => port !== "")) settings.set("port", ports.join(","));
  const database = slashAt === -1 ? "" : percentDecode(beforeQuery.slice(slashAt + 1));
  if (database !== "") settings.set("dbname", database);
  if (queryAt === -1) return settings;
  for (const pair of rest.slice(queryAt + 1).split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    if (equals === -1) throw badDsn("a query parameter of the URI has no value", { hint: "Write ?keyword=value." });
    const name = percentDecode(pair.slice(0, equals));
    const value = percentDecode(pair.slice(equals + 1));
    if (name === "ssl" && value === "true") setKeyword(settings, "sslmode", "require");
    else setKeyword(settings, name, value);
  }
  return settings;
}

function percentDecode(text: string): string {
  try {
    const decoded = decodeURIComponent(text);
    if (!decoded.includes("\0")) return decoded;
  } catch {
    // told below, without the text, which may be a password
  }
  throw badDsn("a percent-encoded part of the URI is malformed", { hint: 'A literal "%" is written "%25".' });
}

/** The `[name]` section of the service file. */
function readService(name: string, environment: Environment): Settings {
  const userFile = environment.get("PGSERVICEFILE") ??
    (environment.home === null ? null : `${environment.home}/.pg_service.conf`);
  const systemDirectories = environment.get("PGSYSCONFDIR")
    ? [environment.get("PGSYSCONFDIR")!]
    : ["/etc/postgresql-common", "/etc/sysconfig/pgsql", "/usr/local/pgsql/etc"];
  const paths = [userFile, ...systemDirectories.map((directory) => `${directory}/pg_service.conf`)];
  for (const path of paths) {
    const text = path === null ? null : environment.readTextFile(path);
    const settings = text === null ? null : parseService(text, name, path!);
    if (settings !== null) return settings;
  }
  throw badDsn(`service "${name}" is in no service file`, {
    hint: `Write a section [${name}] into ${userFile ?? "a file that PGSERVICEFILE names"}.`,
  });
}

function parseService(text: string, wanted: string, path: string): Settings | null {
  let settings: Settings | null = null;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    if (trimmed.startsWith("[")) {
      if (settings !== null) break;
      if (trimmed === `[${wanted}]`) settings = new Map();
      continue;
    }
    if (settings === null) continue;
    const place = `line ${index + 1} of service file "${path}"`;
    const equals = trimmed.indexOf("=");
    if (equals === -1) throw badDsn(`no "=" in ${place}`);
    const name = trimmed.slice(0, equals).trim();
    if (name === "service" || name === "ldap") throw badDsn(`"${name}" is not possible in ${place}`);
    // The first of several lines for one keyword counts.
    if (!settings.has(name)) setKeyword(settings, name, trimmed.slice(equals + 1).trim());
  }
  return settings;
}

/** host, hostaddr and port are lists of the same length, or one port stands for all. */
function parseHosts(settings: Settings): TargetHost[] {
  const split = (name: string) => settings.get(name)?.split(",").map((part) => part.trim()) ?? [];
  const hosts = split("host");
  const hostaddrs = split("hostaddr");
  const ports = split("port");
  const count = Math.max(hosts.length, hostaddrs.length, 1);
  if (hosts.length > 0 && hostaddrs.length > 0 && hosts.length !== hostaddrs.length) {
    throw badDsn(`${hosts.length} host names, but ${hostaddrs.length} hostaddr values`);
  }
  if (ports.length > 1 && ports.length !== count) throw badDsn(`${count} hosts, but ${ports.length} ports`);
  return Array.from({ length: count }, (_, index) => {
    const hostaddr = hostaddrs[index] || null;
    const host = hosts[index] || hostaddr || defaultHost();
    const portText = (ports.length === 1 ? ports[0] : ports[index]) || DEFAULT_PORT;
    const port = Number(portText);
    if (!/^\d+$/.test(portText) || port < 1 || port > 65535) throw badDsn(`"${portText}" is no port number`);
    if (host.startsWith("@")) throw badDsn(`host "${host}" is not possible: abstract sockets are not supported`);
    return { host, hostaddr, port, isUnix: hostaddr === null && host.startsWith("/") };
  });
}

/** The socket directory that exists, Debian's before the original's. */
function defaultHost(): string {
  if (Deno.build.os === "windows") return "localhost";
  for (const directory of SOCKET_DIRECTORIES) {
    if (processEnvironment.fileMode(directory) !== null) return directory;
  }
  return "localhost";
}

function displayHost(host: TargetHost): string {
  const name = host.host.includes(":") ? `[${host.host}]` : host.host;
  return `${name}:${host.port}`;
}

function parseTimeout(text: string | null): number {
  if (text === null) return DEFAULT_CONNECT_TIMEOUT;
  if (!/^\s*-?\d+\s*$/.test(text)) throw badDsn(`connect_timeout "${text}" is no number of seconds`);
  return Number(text) > 0 ? Number(text) : DEFAULT_CONNECT_TIMEOUT;
}

function parseSslMode(mode: string | null, rootCert: string | null): SslMode {
  if (rootCert !== "system") return (mode ?? "prefer") as SslMode;
  if (mode !== null && mode !== "verify-full") {
    throw badDsn(`sslmode "${mode}" is too weak for sslrootcert "system"`, { hint: "Use sslmode=verify-full." });
  }
  return "verify-full";
}

function checkRequireAuth(list: string | null): void {
  const methods = list?.split(",").map((method) => method.trim()) ?? [];
  if (new Set(methods.map((method) => method.startsWith("!"))).size > 1) {
    throw badDsn(`require_auth "${list}" mixes methods with and without "!"`);
  }
  for (const method of methods) {
    if (AUTH_METHODS.includes(method.replace(/^!/, ""))) continue;
    throw badDsn(`unknown require_auth method "${method}"`, { hint: `It may be ${AUTH_METHODS.join(", ")}.` });
  }
}

/** Keyword string of what was given, secrets left out, with the database named in any case. */
function toKeywords(given: ReadonlyMap<string, string>, database: string): string {
  const shown = [...given].filter(([name]) => !KEYWORDS[name]!.isSecret);
  if (!given.has("dbname") && !given.has("service")) shown.push(["dbname", database]);
  return shown.map(([name, value]) => `${name}=${quoteValue(value)}`).join(" ");
}

function quoteValue(value: string): string {
  if (/^[^\s'\\]+$/.test(value)) return value;
  return `'${value.replace(/['\\]/g, "\\$&")}'`;
}

/** The password of the first line of a password file whose host, port, database and user match `wanted`. */
function findPassword(text: string, wanted: readonly string[]): string | null {
  for (const line of text.split(/\r?\n/)) {
    if (line === "" || line.startsWith("#")) continue;
    const fields = splitPassLine(line);
    if (fields.length === 5 && wanted.every((value, index) => matches(fields[index]!, value))) {
      return unescape(fields[4]!);
    }
  }
  return null;
}

/** The fields between ":", unless a backslash stands before it. What follows a fifth ":" is dropped, as in libpq. */
function splitPassLine(line: string): string[] {
  const fields: string[] = [];
  let start = 0;
  for (let at = 0; at <= line.length && fields.length < 5; at++) {
    if (at < line.length && line[at] === "\\") at++;
    else if (at === line.length || line[at] === ":") {
      fields.push(line.slice(start, at));
      start = at + 1;
    }
  }
  return fields;
}

function matches(field: string, value: string): boolean {
  return field === "*" || unescape(field) === value;
}

function unescape(field: string): string {
  return field.replace(/\\(.)/g, "$1");
}
