/**
 * The connection of commands, ticker and status: postgres.js over our own start-up, so that a connect string means the
 * same and fails the same on both kinds of connection.
 */
import postgres from "postgres";
import { Duplex } from "node:stream";
import type { Buffer } from "node:buffer";
import { SkyqError } from "../base/errors.ts";
import { libraryFields, type ServerFields, shortStatement, toSkyqError } from "./errors.ts";
import type { Param, Queryable } from "./queryable.ts";
import type { Target } from "./target.ts";
import { dial } from "./wire/dial.ts";
import { applySettings, checkSessionAttrs, type SessionLimits } from "./wire/session.ts";
import { type Session, startSession } from "./wire/startup.ts";
import { closeQuietly, type Transport, writeAll } from "./wire/transport.ts";
import { decodeValue, encodeParam } from "./wire/values.ts";

export interface SqlOptions extends SessionLimits {
  /** Wins over the target's application_name. */
  applicationName?: string;
  /** Ends the attempt to connect; has no meaning afterwards. */
  signal?: AbortSignal;
  onNotice?(notice: ServerFields): void;
  /** Told of each statement before it is sent, without its values. */
  onStatement?(text: string): void;
}

/** @throws {SkyqError} `connect`, `auth`, `config`, `privilege` or `sql` (a setting), `stopped` (the signal) */
export function openSql(target: Target, options: SqlOptions = {}): Promise<SqlConnection> {
  return dial(target, options.signal, async (transport, route, isLastChance) => {
    const session = await startSession(transport, target, route.host, options);
    const place = target.displayAt(route.host);
    const connection = new SqlConnection(target, place, options, transport, session);
    try {
      await checkSessionAttrs(connection, target, `Cannot connect to ${place}`, isLastChance);
      await applySettings(connection, options);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  });
}

/** What runs inside `SqlConnection.transaction`. */
export interface Transaction extends Queryable {
  exec(sql: string): Promise<void>;
}

/** A result as a person reads it: values as the server prints them, null for NULL. */
export interface TypedResult {
  /** Empty when the statement returns no rows. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
  /** The server's word for what was done, with a count where it has one: `UPDATE 3`. */
  readonly command?: string;
}

/** One session. A lost connection is not opened again: every call says so from then on. */
export class SqlConnection implements Queryable {
  readonly serverVersion: number;
  readonly processId: number;
  readonly #place: string;
  readonly #target: Target;
  readonly #sql: postgres.Sql;
  readonly #stream: Duplex;
  readonly #onStatement: SqlOptions["onStatement"];
  readonly #listeners = new Map<string, Set<(payload: string) => void>>();
  readonly #unanswered = new Set<PromiseWithResolvers<RawResult>>();
  #lost: SkyqError | null = null;
  #isInTransaction = false;

  /** Use `openSql`. */
  constructor(target: Target, place: string, options: SqlOptions, transport: Transport, session: Session) {
    this.#place = place;
    this.#target = target;
    this.#onStatement = options.onStatement;
    this.processId = session.processId;
    this.serverVersion = session.serverVersion;
    this.#stream = greetedStream(transport, session, () => {
      this.#lost ??= new SkyqError("connection-lost", `Lost connection to ${place}: the server closed the connection`, {
        hint: "The server may have been restarted, or the network broke; see the server's log.",
      });
      for (const { reject } of this.#unanswered) reject(this.#lost);
    });
    this.#sql = openLibrary({
      socket: () => this.#stream,
      database: target.database,
      user: target.user,
      onnotice: (notice: postgres.Notice) => options.onNotice?.(libraryFields(notice)),
      onnotify: (channel: string, payload: string) => {
        for (const listener of this.#listeners.get(channel) ?? []) listener(payload);
      },
    });
  }

  get isClosed(): boolean {
    return this.#lost !== null;
  }

  /** @throws {Error} too, inside `transaction`, whose function has a query of its own: this one would wait for its end */
  // deno-lint-ignore no-explicit-any
  async query<Row = Record<string, any>>(text: string, params: readonly Param[] = []): Promise<Row[]> {
    if (this.#isInTransaction) throw new Error("The connection is in a transaction: use the transaction's own query");
    return await this.#query<Row>(text, params);
  }

  /** Runs `sql`, which may hold several statements, as one simple query. */
  async exec(sql: string): Promise<void> {
    if (this.#isInTransaction) throw new Error("The connection is in a transaction: use the transaction's own query");
    await this.#run(sql, [], true);
  }

  /** Runs one statement that somebody typed, transaction control included. COPY from or to the client is not for it. */
  async typed(sql: string): Promise<TypedResult> {
    if (this.#isInTransaction) throw new Error("The connection is in a transaction: use the transaction's own query");
    const result = await this.#run(sql, [], true);
    const rows = result as unknown as (Buffer | null)[][];
    return {
      columns: (result.columns ?? []).map(({ name }) => name),
      rows: rows.map((row) => row.map((value) => value?.toString("utf8") ?? null)),
      command: [result.command, result.count].filter((part) => part != null).join(" "),
    };
  }

  /** Runs `work` between BEGIN and COMMIT; rolls back when it throws. */
  async transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    if (this.#isInTransaction) throw new Error("The connection is in a transaction already");
    this.#isInTransaction = true;
    try {
      await this.#run("begin", [], true);
      let result: T;
      try {
        result = await work({
          query: (text, params) => this.#query(text, params ?? []),
          exec: async (sql) => void await this.#run(sql, [], true),
        });
      } catch (error) {
        if (this.#lost === null) await this.#run("rollback", [], true);
        throw error;
      }
      const { command } = await this.#run("commit", [], true);
      // COMMIT of a failed transaction succeeds, but by rolling back.
      if (command === "COMMIT") return result;
      throw new SkyqError("sql", `Cannot commit on ${this.#place}: an error before had ended the transaction`);
    } finally {
      this.#isInTransaction = false;
    }
  }

  /** Calls `listener` with the payload of each notification on `channel` from now on. */
  async listen(channel: string, listener: (payload: string) => void): Promise<void> {
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners);
    listeners.add(listener);
    if (listeners.size === 1) await this.exec(`listen "${channel.replaceAll('"', '""')}"`);
  }

  /** Ends the statement that runs here, by a connection of its own; it fails with `timeout`. */
  async cancel(): Promise<void> {
    await using other = await openSql(this.#target, { applicationName: "skyq cancel" });
    await other.query("select pg_cancel_backend($1)", [this.processId]);
  }

  /** Says good-bye and closes; waits at most a second for statements that still run. */
  async close(): Promise<void> {
    if (this.#lost === null) {
      this.#lost = new SkyqError("connection-lost", `Cannot use connection to ${this.#place}: it is closed`);
      const answered = Promise.allSettled([...this.#unanswered].map(({ promise }) => promise));
      await withLimit(answered, CLOSE_LIMIT_MS);
      // Not longer than it takes: a server that reads nothing does not keep us.
      await withLimit(
        new Promise<void>((resolve) => void this.#stream.write(TERMINATE, () => resolve())),
        CLOSE_LIMIT_MS,
      );
    }
    this.#stream.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #query<Row>(text: string, params: readonly Param[]): Promise<Row[]> {
    const rows = await this.#run(text, params.map(encodeParam), false);
    const columns = rows.columns ?? [];
    return (rows as unknown as (Buffer | null)[][]).map((values) => {
      const row: Record<string, unknown> = {};
      for (const [index, { name, type }] of columns.entries()) {
        const value = values[index] ?? null;
        row[name] = value === null ? null : decodeValue(type, value.toString("utf8"));
      }
      return row as Row;
    });
  }

  async #run(text: string, params: (string | null)[], simple: boolean): Promise<RawResult> {
    if (this.#lost !== null) throw this.#lost;
    this.#onStatement?.(text);
    const answer = Promise.withResolvers<RawResult>();
    this.#unanswered.add(answer);
    try {
      const options = { prepare: false, simple } as postgres.UnsafeQueryOptions;
      this.#sql.unsafe(text, params, options).raw().then(
        (rows) => answer.resolve(rows as unknown as RawResult),
        answer.reject,
      );
      return await answer.promise;
    } catch (error) {
      if (this.#lost !== null) throw this.#lost;
      throw toSkyqError(error, `Cannot run statement on ${this.#place}`, {
        facts: { statement: shortStatement(text) },
      });
    } finally {
      this.#unanswered.delete(answer);
    }
  }
}

async function withLimit(work: Promise<unknown>, limitMs: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([work, new Promise((resolve) => timer = setTimeout(resolve, limitMs))]);
  clearTimeout(timer);
}

/** A result in raw mode, with the fields of the library's that its types keep quiet about. */
interface RawResult {
  readonly columns: readonly { name: string; type: number }[];
  readonly command: string;
  /** Rows, null where the command has no number. */
  readonly count: number | null;
}

/** postgres.js with everything decided here that it would else take from the environment or do by itself. */
function openLibrary(own: Record<string, unknown>): postgres.Sql {
  const asText = (oids: number[]) => ({ to: oids[0]!, from: oids, serialize: (text: string) => text, parse: identity });
  const options = {
    ...own,
    host: "localhost", // not looked up: there is a socket
    port: 5432,
    max: 1,
    prepare: false,
    fetch_types: false,
    ssl: false,
    sslnegotiation: null,
    connect_timeout: 0,
    idle_timeout: 0,
    max_lifetime: 0,
    max_pipeline: 100,
    keep_alive: 0,
    backoff: 0,
    debug: false,
    publications: "alltables",
    // Parameters are text already; the library would make JSON of text, or text of dates.
    types: {
      string: asText([25]),
      json: asText([114, 3802]),
      boolean: asText([16]),
      bytea: asText([17]),
      date: asText([1184, 1082, 1114]),
    },
  };
  return withoutVariable(
    "PGTARGETSESSIONATTRS",
    () => postgres(options as unknown as postgres.Options<Record<string, never>>),
  );
}

function identity<T>(value: T): T {
  return value;
}

/** The library reads this variable whatever its options say, and refuses a value ("any") that libpq knows. */
function withoutVariable<T>(name: string, work: () => T): T {
  const value = Deno.env.get(name);
  if (value === undefined) return work();
  Deno.env.delete(name);
  try {
    return work();
  } finally {
    Deno.env.set(name, value);
  }
}

/** Size of the blocks that are read for the library. */
const BLOCK_SIZE = 64 << 10;
/** How long `close` waits for what still runs. */
const CLOSE_LIMIT_MS = 1_000;
/** The client's good-bye: "X", length 4. */
const TERMINATE = new Uint8Array([0x58, 0, 0, 0, 4]);
/** AuthenticationOk: "R", length 8, 0. */
const AUTHENTICATION_OK = new Uint8Array([0x52, 0, 0, 0, 8, 0, 0, 0, 0]);

/**
 * A stream on which the library finds what it expects: its start-up message, which is swallowed, is answered with what
 * the server said to ours. Destroying it closes the transport and calls `gone`.
 *
 * The library is never told that the stream is closed: it would forget its socket, and a write that it has put off until
 * then throws where nobody can catch it; or it would open another session, without settings and position.
 */
function greetedStream(transport: Transport, session: Session, gone: () => void): Duplex {
  let isGreeted = false;
  const stream: Duplex = new Duplex({
    allowHalfOpen: false,
    emitClose: false,
    read() {
      if (!isGreeted) return;
      const block = new Uint8Array(BLOCK_SIZE);
      transport.read(block).then(
        (size) => {
          if (!stream.destroyed) stream.push(size === null ? null : block.subarray(0, size));
        },
        (error) => stream.destroy(error),
      );
    },
    write(chunk: Buffer, _encoding, done) {
      if (isGreeted) {
        writeAll(transport, chunk).then(() => done(), done);
        return;
      }
      isGreeted = true;
      const greeting = [AUTHENTICATION_OK, session.greeting, session.rest];
      // Not within this call: the library forgets what it is made to write while it writes.
      queueMicrotask(() => greeting.forEach((bytes) => bytes.length > 0 && stream.push(bytes)));
      const beyond = chunk.subarray(chunk.readInt32BE(0));
      writeAll(transport, beyond).then(() => done(), done);
    },
    destroy(_error, done) {
      closeQuietly(transport);
      gone();
      done(null);
    },
  });
  return stream;
}
