/** The one place where what a server, a socket or a library says becomes a `SkyqError`. */
import { type Fault, messageOf, SkyqError } from "../base/errors.ts";

/** The fields of an ErrorResponse or NoticeResponse that skyq has a use for. */
export interface ServerFields {
  /** In English whatever `lc_messages` says: ERROR, FATAL, PANIC, or WARNING, NOTICE, … */
  severity: string;
  sqlstate: string;
  message: string;
  detail?: string;
  hint?: string;
  where?: string;
  position?: string;
  /** Of an error inside a statement that a function or block runs: where in that statement, and its text. */
  internalPosition?: string;
  internalQuery?: string;
  schema?: string;
  table?: string;
  column?: string;
  constraint?: string;
}

/** An ErrorResponse as it came in, before `toSkyqError` has given it a fault. */
export class ServerError extends Error {
  constructor(readonly fields: ServerFields) {
    super(fields.message);
    this.name = "ServerError";
  }
}

/** Said of every handshake that failed. */
export const CERTIFICATE_HINT =
  "Check sslrootcert, the certificates and their validity, and that host is a name the server's was issued for.";

export interface TranslateOptions {
  /** The connection was not yet usable: a broken socket is then `connect`, not `connection-lost`. */
  connecting?: boolean;
  /** What an error is that nothing is known about; else `connect` while connecting, `sql` after that. */
  fallback?: Fault;
  /** More facts for the log line. */
  facts?: Record<string, unknown>;
}

/**
 * Translates any error met while doing `act` ("Cannot connect to …", "Cannot run statement on …").
 * A `SkyqError` comes back as it is.
 * @throws the error itself when it is a bug of ours (TypeError and its like), so that its stack is printed
 */
export function toSkyqError(error: unknown, act: string, options: TranslateOptions = {}): SkyqError {
  if (error instanceof SkyqError) return error;
  const fields = serverFields(error);
  if (fields !== null) return fromServer(fields, act, error, options);
  const lost = socketTrouble(error);
  if (lost === null) {
    if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) throw error;
    const fault = options.fallback ?? (options.connecting ? "connect" : "sql");
    return new SkyqError(fault, `${act}: ${messageOf(error)}`, { facts: options.facts, cause: error });
  }
  const fault = lost.fault ?? (options.connecting ? "connect" : "connection-lost");
  const hint = lost.hint ?? (options.connecting ? HINTS.listen : HINTS.lost);
  return new SkyqError(fault, `${act}: ${lost.state}`, { hint, facts: options.facts, cause: error });
}

/**
 * Waits for statements that belong to `act` ("Cannot truncate public.t"): what the server refuses is then said of that
 * and not of "a statement". All other errors come as they are.
 */
export async function during<T>(act: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof SkyqError) || error.fault === "connection-lost") throw error;
    const fields = serverFields(error.cause);
    if (fields === null) throw error;
    const { fault, hint, facts, sqlstate, cause } = error;
    throw new SkyqError(fault, `${act}: ${fields.message}`, { hint, facts, sqlstate, cause });
  }
}

/** The same for values that somebody typed: what the server cannot read (SQLSTATE class 22) is wrong usage. */
export async function asInput<T>(act: string, work: Promise<T>): Promise<T> {
  try {
    return await during(act, work);
  } catch (error) {
    if (!(error instanceof SkyqError) || !error.sqlstate?.startsWith("22")) throw error;
    const { message, facts, sqlstate, cause } = error;
    throw new SkyqError("usage", message, { facts, sqlstate, cause });
  }
}

/** The server's own words, without the act that failed; the message of any other error. */
export function serverMessage(error: SkyqError): string {
  return serverFields(error.cause)?.message ?? error.message;
}

/**
 * The line of a script that a block of the server ran, where the server says at which character it stopped.
 * @param script the text as the block ran it
 * @returns from 1; null when the error came from elsewhere, or has no place
 */
export function lineInScript(error: SkyqError, script: string): number | null {
  const fields = serverFields(error.cause);
  if (fields?.internalPosition === undefined || fields.internalQuery !== script) return null;
  const before = [...script].slice(0, Number(fields.internalPosition) - 1);
  return before.filter((letter) => letter === "\n").length + 1;
}

const HINTS = {
  listen: "Is the server running, and does it listen there? Check host and port, listen_addresses and the firewall.",
  lost: "The server may have been restarted, or the network broke; see the server's log.",
  password: "Check user and password: in the connect string, in PGPASSWORD or in the password file.",
  hba: "Add a line for this user, database and address to pg_hba.conf on the server and reload it.",
} as const;

/** Our fault and hint for a SQLSTATE; the longest prefix that is in the table counts. The server's own hint comes first. */
const SQLSTATES: Record<string, { fault: Fault; hint?: string }> = {
  "08": { fault: "connection-lost" },
  "08P01": { fault: "protocol" },
  "25P03": { fault: "connection-lost", hint: "idle_in_transaction_session_timeout ended the session." },
  "25P04": { fault: "connection-lost", hint: "transaction_timeout ended the session." },
  "28": { fault: "auth", hint: HINTS.hba },
  "28P01": { fault: "auth", hint: HINTS.password },
  "3D000": { fault: "connect", hint: "Create the database, or correct dbname in the connect string." },
  "40001": { fault: "sql", hint: "Another transaction was in the way; the same work succeeds when tried again." },
  "40P01": { fault: "sql", hint: "Another transaction was in the way; the same work succeeds when tried again." },
  "42501": { fault: "privilege", hint: "Grant the missing privilege to the role that skyq connects as." },
  "53300": {
    fault: "connect",
    hint: "No connection is free: close some, or raise the limit, which is the server's max_connections or the " +
      "CONNECTION LIMIT of the role or the database.",
  },
  "55P03": {
    fault: "lock-timeout",
    hint: "Another session holds the lock; pg_locks and pg_blocking_pids() tell which.",
  },
  "57014": {
    fault: "timeout",
    hint: "Raise the time limit (statement_timeout), or find out why the statement is slow.",
  },
  "57P01": { fault: "connection-lost", hint: "An administrator ended the session, or the server shuts down." },
  "57P02": { fault: "connection-lost", hint: "The server crashed and recovers; see its log." },
  "57P03": { fault: "connect", hint: "The server starts up, shuts down or recovers; it takes connections later." },
  "57P05": { fault: "connection-lost", hint: "idle_session_timeout ended the session." },
};

/** Where one SQLSTATE stands for several troubles the message tells which, at least in English. */
const HINTS_BY_MESSAGE: readonly [RegExp, string][] = [
  [
    /^must be owner of /,
    "Only its owner may do that: GRANT the owning role to the role that skyq connects as, or make that one the owner.",
  ],
  [
    /^role ".*" (does not exist|is not permitted to log in)$/,
    "Create the role (CREATE ROLE … LOGIN), or correct user in the connect string.",
  ],
  [
    /^canceling statement due to user request$/,
    "Somebody cancelled the statement: Ctrl-C here, or pg_cancel_backend on the server.",
  ],
  [
    /^EXECUTE of transaction commands is not implemented$/,
    "All of it runs in one transaction: take BEGIN, COMMIT, ROLLBACK and their like out.",
  ],
  [
    /^query would be affected by row-level security policy /,
    "Rows would stay unseen: connect as the table's owner, or as a role with BYPASSRLS.",
  ],
  [/^too many connections for role /, "The role's limit is reached: ALTER ROLE … CONNECTION LIMIT, or close some."],
  [
    /^too many connections for database /,
    "The database's limit is reached: ALTER DATABASE … CONNECTION LIMIT, or close some.",
  ],
];

function fromServer(fields: ServerFields, act: string, cause: unknown, options: TranslateOptions): SkyqError {
  const known = SQLSTATES[fields.sqlstate] ?? SQLSTATES[fields.sqlstate.slice(0, 2)];
  const isFatal = fields.severity === "FATAL" || fields.severity === "PANIC";
  const fault = known?.fault ?? (isFatal ? (options.connecting ? "connect" : "connection-lost") : "sql");
  const { message, sqlstate, hint, internalPosition: _at, internalQuery: _in, ...facts } = fields;
  return new SkyqError(fault, `${act}: ${message}`, {
    hint: hint ?? HINTS_BY_MESSAGE.find(([pattern]) => pattern.test(message))?.[1] ?? known?.hint,
    facts: { sqlstate, ...facts, ...options.facts },
    sqlstate,
    cause,
  });
}

/** The server's fields, whether our own connection or postgres.js brought them; null when it is no server's error. */
function serverFields(error: unknown): ServerFields | null {
  if (error instanceof ServerError) return error.fields;
  if (!(error instanceof Error) || error.name !== "PostgresError") return null;
  return libraryFields(error as unknown as LibraryFields);
}

type LibraryFields = Record<string, string | undefined>;

/** What postgres.js makes of an ErrorResponse or NoticeResponse, by our names. */
export function libraryFields(from: LibraryFields): ServerFields {
  const fields: ServerFields = {
    severity: from.severity ?? "ERROR",
    sqlstate: from.code ?? "",
    message: from.message ?? "",
  };
  const renamed = {
    schema: "schema_name",
    table: "table_name",
    column: "column_name",
    constraint: "constraint_name",
    internalPosition: "internal_position",
    internalQuery: "internal_query",
  };
  for (const key of ["detail", "hint", "where", "position"] as const) if (from[key]) fields[key] = from[key];
  for (const [key, name] of Object.entries(renamed) as [keyof ServerFields, string][]) {
    if (from[name]) fields[key] = from[name];
  }
  return fields;
}

interface SocketTrouble {
  state: string;
  fault?: Fault;
  hint?: string;
}

/** By error class of Deno or code of node:net and postgres.js. */
const SOCKET_TROUBLES: Record<string, SocketTrouble> = {
  ConnectionRefused: { state: "connection refused", fault: "connect", hint: HINTS.listen },
  NotFound: { state: "no such socket", fault: "connect", hint: HINTS.listen },
  PermissionDenied: {
    state: "permission denied on the socket",
    fault: "connect",
    hint: "The user that runs skyq must have access to the socket's directory.",
  },
  TimedOut: { state: "timed out" },
  HostUnreachable: { state: "host unreachable", fault: "connect" },
  NetworkUnreachable: { state: "network unreachable", fault: "connect" },
  AddrNotAvailable: { state: "address not available", fault: "connect" },
  ConnectionReset: { state: "connection reset" },
  ConnectionAborted: { state: "connection aborted" },
  BrokenPipe: { state: "the server closed the connection" },
  UnexpectedEof: { state: "the server closed the connection" },
  NotConnected: { state: "the connection is closed" },
  BadResource: { state: "the connection is closed" },
  Interrupted: { state: "the connection is closed" },
  ENOTFOUND: { state: "host name not found", fault: "connect", hint: "Check the host name and the name service." },
  EAI_AGAIN: { state: "host name could not be looked up", fault: "connect", hint: "Check the name service." },
  CONNECTION_CLOSED: { state: "the server closed the connection" },
  CONNECTION_ENDED: { state: "the connection is closed" },
  CONNECTION_DESTROYED: { state: "the connection is closed" },
  CONNECT_TIMEOUT: { state: "no answer in time", fault: "connect", hint: HINTS.listen },
  SASL_SIGNATURE_MISMATCH: {
    state: "the server does not know the password",
    fault: "auth",
    hint: "Something between here and the server may pretend to be it.",
  },
};

const NODE_CODES: Record<string, string> = {
  ECONNREFUSED: "ConnectionRefused",
  ENOENT: "NotFound",
  EACCES: "PermissionDenied",
  EPERM: "PermissionDenied",
  ETIMEDOUT: "TimedOut",
  EHOSTUNREACH: "HostUnreachable",
  ENETUNREACH: "NetworkUnreachable",
  EADDRNOTAVAIL: "AddrNotAvailable",
  ECONNRESET: "ConnectionReset",
  ECONNABORTED: "ConnectionAborted",
  EPIPE: "BrokenPipe",
  EBADF: "BadResource",
};

function socketTrouble(error: unknown): SocketTrouble | null {
  if (!(error instanceof Error)) return null;
  const code = (error as { code?: unknown }).code;
  const key = typeof code === "string" ? NODE_CODES[code] ?? code : error.name;
  const known = SOCKET_TROUBLES[key] ?? SOCKET_TROUBLES[error.name];
  if (known !== undefined) return known;
  if (/certificate|handshake|\btls\b|\bssl\b|altname|UnknownIssuer/i.test(`${error.message} ${String(code)}`)) {
    return { state: error.message, fault: "connect", hint: CERTIFICATE_HINT };
  }
  const errno = /os error (\d+)/.exec(error.message)?.[1];
  return errno === undefined ? null : { state: error.message };
}

/** How much of a statement is repeated in an error's facts. */
const STATEMENT_SHOWN_MAX = 300;

/** A statement for an error's facts: one line, not too long, and no password of an ALTER ROLE in it. */
export function shortStatement(statement: string): string {
  const line = statement.replace(/\s+/g, " ").replace(/(password\s+)'(?:[^']|'')*'/gi, "$1'…'");
  return line.length > STATEMENT_SHOWN_MAX ? `${line.slice(0, STATEMENT_SHOWN_MAX)}…` : line;
}
