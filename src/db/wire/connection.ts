/**
 * The data path's own connection to a server: protocol 3.0, bytes not strings.
 *
 *     query exec prepare sendRaw sync copyIn copyOut        one reader, always waiting
 *               │ a Reply joins the queue,                         │ messages go to the queue's head,
 *               ▼ its bytes go out                                 ▼ ReadyForQuery takes the head off
 *            writes, one behind the other  ─────▶  server  ─────▶  buffer (used again and again)
 *
 * Requests may be sent while answers to earlier ones are still to come. A COPY, and a run of raw messages, is a bracket:
 * from its begin to its end nothing else may be sent.
 */
import { SkyqError } from "../../base/errors.ts";
import { sleep } from "../../base/time.ts";
import { ServerError, type ServerFields, shortStatement, toSkyqError } from "../errors.ts";
import type { Param, Queryable } from "../queryable.ts";
import type { Target } from "../target.ts";
import { dial, redial, type Route } from "./dial.ts";
import { KeptStatements } from "./kept_statements.ts";
import {
  CANCEL_REQUEST,
  emptyMessage,
  HEADER_SIZE,
  MalformedMessage,
  messageSize,
  MessageWriter,
  nameOf,
  readFields,
  readInt32,
  readStrings,
  TAG,
  viewOf,
} from "./messages.ts";
import {
  CopyInReply,
  CopyOutReply,
  Deferred,
  FrameWalker,
  type Pending,
  QueryReply,
  TagsReply,
  type Translate,
} from "./reply.ts";
import { applySettings, checkSessionAttrs, type SessionLimits } from "./session.ts";
import { type Session, startSession } from "./startup.ts";
import { closeQuietly, type Transport, writeAll } from "./transport.ts";
import { encodeParam } from "./values.ts";

export type Notice = ServerFields;

export interface Notification {
  channel: string;
  payload: string;
  processId: number;
}

export interface WireOptions extends SessionLimits {
  /** Wins over the target's application_name. */
  applicationName?: string;
  /** Ends the attempt to connect; has no meaning afterwards. */
  signal?: AbortSignal;
  /** 0 is no limit, as in the server. */
  statementTimeoutMs?: number;
  lockTimeoutMs?: number;
  /** Session settings, made right after the start-up. */
  settings?: Record<string, string>;
  /** Statements of `query` that come again and again are kept by the server, parsed and planned. For few texts, used often. */
  keepStatements?: boolean;
  /** After how long without a byte of an answer the server's host is asked whether it is still there. Default 30 s. */
  silenceMs?: number;
  onNotice?(notice: Notice): void;
  onNotification?(notification: Notification): void;
}

/** One COPY … FROM STDIN. It must be ended, by `finish` or `abort`, before the connection does anything else. */
export interface CopyIn {
  /**
   * Sends bytes of the COPY's own format. Lent until resolved. A COPY that failed meanwhile rejects here.
   * Small pieces cost a system call each: collect some KiB first.
   */
  write(payload: Uint8Array): Promise<void>;
  /** Sends bytes that are CopyData frames already, cut anywhere. Lent until resolved. */
  writeFrames(frames: Uint8Array): Promise<void>;
  /** @returns rows taken by the server */
  finish(): Promise<number>;
  /** Gives up: the server forgets what was sent. Rejects only when the connection is lost. */
  abort(message: string): Promise<void>;
}

/** Size of each of the two read buffers of a COPY. */
const READ_BUFFER_SIZE = 256 << 10;
/** Size of the one buffer before the first COPY: most connections only ask for a few rows. */
const FIRST_BUFFER_SIZE = 16 << 10;
/** CopyData frames are split above this. */
const FRAME_PAYLOAD_MAX = 1 << 20;
/** Up to this, header and payload go out in one write. */
const SMALL_PAYLOAD_MAX = 64 << 10;
const CANCEL_LIMIT_MS = 10_000;
const SILENCE_MS = 30_000;
/** So many attempts to reach the host of a silent server must fail in a row before the connection is given up. */
const UNREACHABLE_MAX = 3;
/** After a failed write the server's last words may still be on their way. */
const LAST_WORDS_LIMIT_MS = 1_000;

const SYNC = emptyMessage("S");
const FLUSH = emptyMessage("H");
const COPY_DONE = emptyMessage("c");
const TERMINATE = emptyMessage("X");
const UNNAMED_PORTAL = new Uint8Array([0x50, 0]); // "P", ""

export class WireConnection implements Queryable {
  /** What the server reports about itself and the session, kept up to date. */
  readonly parameters: Map<string, string>;
  readonly #target: Target;
  readonly #options: WireOptions;
  readonly #transport: Transport;
  readonly #route: Route;
  readonly #serverVersion: number;
  readonly #processId: number;
  readonly #cancelKey: Uint8Array;
  readonly #kept: KeptStatements;

  readonly #replies: Pending[] = [];
  /** Opened by `sendRaw`, closed by `sync`. */
  #run: TagsReply | null = null;
  /** The COPY that nobody has ended yet. */
  #copy: CopyInReply | CopyOutReply | null = null;

  // Unread bytes are #buffer[#readStart, #readEnd). The spare one is lent out during a copyOut.
  #buffer: Uint8Array<ArrayBuffer>;
  #spare = new Uint8Array(0);
  #readStart = 0;
  #readEnd = 0;
  /** Bytes of a CopyData frame, begun in an earlier run, that are still to come. */
  #frameLeft = 0;

  #writing: Promise<void> = Promise.resolve();
  #smallFrame: Uint8Array | null = null;
  #status: "I" | "T" | "E" = "I";
  /** When the last byte came in. */
  #heardMs = performance.now();
  #isUp = false;
  /** A fatal error that came while nobody had asked anything. */
  #lastWords: ServerFields | null = null;
  #lost: SkyqError | null = null;
  readonly #ended = new Deferred<void>();

  private constructor(target: Target, options: WireOptions, transport: Transport, route: Route, session: Session) {
    this.#target = target;
    this.#options = options;
    this.#transport = transport;
    this.#route = route;
    this.parameters = session.parameters;
    this.#serverVersion = session.serverVersion;
    this.#processId = session.processId;
    this.#cancelKey = session.cancelKey;
    this.#buffer = new Uint8Array(Math.max(FIRST_BUFFER_SIZE, 2 * session.rest.length));
    this.#kept = new KeptStatements(options.keepStatements ?? false);
    this.#buffer.set(session.rest);
    this.#readEnd = session.rest.length;
    this.#readAll();
    if (!route.host.isUnix) this.#watch(options.silenceMs ?? SILENCE_MS);
  }

  /** @throws {SkyqError} `connect`, `auth`, `config`, `privilege` or `sql` (a setting), `stopped` (the signal) */
  static connect(target: Target, options: WireOptions = {}): Promise<WireConnection> {
    return dial(target, options.signal, async (transport, route, isLastChance) => {
      const session = await startSession(transport, target, route.host, options);
      const connection = new WireConnection(target, options, transport, route, session);
      try {
        await connection.#prepareSession(isLastChance);
        return connection;
      } catch (error) {
        connection.destroy();
        throw error;
      }
    });
  }

  /** As a number: 150018 is 15.18. */
  get serverVersion(): number {
    return this.#serverVersion;
  }

  get processId(): number {
    return this.#processId;
  }

  get isClosed(): boolean {
    return this.#lost !== null;
  }

  /** As of the last answer: I no transaction, T in one, E in a failed one. */
  get transactionStatus(): "I" | "T" | "E" {
    return this.#status;
  }

  // deno-lint-ignore no-explicit-any
  async query<Row = Record<string, any>>(text: string, params: readonly Param[] = []): Promise<Row[]> {
    const { name, isKept } = this.#kept.use(text);
    const message = new MessageWriter();
    if (!isKept) message.begin("P").cstring(name).cstring(text).int16(0).end();
    message.begin("B").cstring("").cstring(name).int16(0).int16(params.length);
    for (const param of params) message.value(encodeParam(param));
    message.int16(0).end();
    message.begin("D").bytes(UNNAMED_PORTAL).end();
    message.begin("E").cstring("").int32(0).end();
    message.begin("S").end();
    const reply = new QueryReply<Row>(this.#translator("run statement", text), this.#failCopyIn);
    try {
      await this.#send(reply, message.done());
      const rows = await reply.done;
      if (name !== "") this.#kept.keep(text);
      return rows;
    } catch (error) {
      if (name !== "") this.#kept.forget(text);
      throw error;
    }
  }

  /** Runs `sql`, which may hold several statements, as one simple query. @returns a command tag for each */
  async exec(sql: string): Promise<string[]> {
    const reply = new TagsReply(this.#translator("run statement", sql), this.#failCopyIn);
    await this.#send(reply, simpleQuery(sql));
    return await reply.done;
  }

  /**
   * Names a statement for `sendRaw`. Need not be awaited before messages that use it are sent. Inside a run of raw
   * messages it is part of the run, and its error fails the run.
   */
  prepare(name: string, sql: string, paramTypeOids: readonly number[] = []): Promise<void> {
    const message = new MessageWriter().begin("P").cstring(name).cstring(sql).int16(paramTypeOids.length);
    for (const oid of paramTypeOids) message.int32(oid);
    message.end();
    const prepared = new Deferred<void>();
    const run = this.#run;
    if (run !== null) {
      run.prepares.push(prepared);
      if (run.error !== null) run.onFailed();
      else this.#write(message.bytes(FLUSH).done()).catch(prepared.reject);
      return prepared.promise;
    }
    const reply = new TagsReply(this.#translator(`prepare statement "${name}"`, sql), this.#failCopyIn);
    reply.prepares.push(prepared);
    this.#send(reply, message.bytes(SYNC).done()).catch(prepared.reject);
    return prepared.promise;
  }

  /**
   * Sends complete frontend messages (Bind, Execute, Close, …; no Parse: that is `prepare`; no Sync). Begins a run, which
   * `sync` ends. Once the server has reported an error it passes over the rest of the run, so nothing more is sent then.
   * @param bytes lent until resolved
   */
  async sendRaw(bytes: Uint8Array): Promise<void> {
    if (this.#run === null) {
      this.#assertFree();
      this.#run = new TagsReply(this.#translator("run statements", null), this.#failCopyIn);
      this.#replies.push(this.#run);
    }
    if (this.#run.error === null) await this.#write(bytes);
  }

  /**
   * Ends the run.
   * @returns the command tags of the run, in order; empty when nothing was sent
   * @throws {SkyqError} the first error; `facts.index` says how many commands were completed before it
   */
  async sync(): Promise<string[]> {
    const run = this.#run;
    if (run === null) return [];
    this.#run = null;
    run.isSynced = true;
    await this.#write(SYNC);
    try {
      return await run.done;
    } catch (error) {
      if (error instanceof SkyqError) error.facts.index = run.tags.length;
      throw error;
    }
  }

  /**
   * Runs `COPY … TO STDOUT`. Each chunk is a run of CopyData messages with their 5-byte headers, cut anywhere, and lent
   * until the next is asked for. Leaving the loop early cancels the COPY on the server (inside a transaction that fails
   * the transaction) and leaves the connection usable.
   */
  async *copyOut(sql: string): AsyncGenerator<Uint8Array, void, void> {
    const reply = new CopyOutReply(this.#translator("copy out", sql));
    const sending = this.#send(reply, simpleQuery(sql));
    this.#copy = reply;
    try {
      await sending;
      for (let chunk = await reply.next(); chunk !== null; chunk = await reply.next()) yield chunk;
    } finally {
      if (!reply.isDone) await this.#breakOff(reply);
      this.#copy = null;
    }
  }

  /** Runs `COPY … FROM STDIN`. @throws {SkyqError} when the server does not begin to take data */
  async copyIn(sql: string): Promise<CopyIn> {
    const reply = new CopyInReply(this.#translator("copy in", sql));
    const sending = this.#send(reply, simpleQuery(sql));
    this.#copy = reply;
    try {
      await sending;
      await reply.started.promise;
    } catch (error) {
      this.#copy = null;
      throw error;
    }
    return new WireCopyIn(reply, (bytes) => this.#write(bytes), this.#payloadWriter(), () => this.#copy = null);
  }

  /** Asks the server, on a connection of its own, to cancel what this one is doing. Done when the server has been told. */
  async cancel(): Promise<void> {
    if (this.#lost !== null) return;
    const message = new MessageWriter().begin().int32(CANCEL_REQUEST).int32(this.#processId).bytes(this.#cancelKey)
      .end();
    const act = `Cannot cancel statement on ${this.#target.displayAt(this.#route.host)}`;
    await redial(this.#route, CANCEL_LIMIT_MS, act, async (transport) => {
      await writeAll(transport, message.done());
      // The server signals the session first and closes then.
      while (await transport.read(new Uint8Array(64)) !== null);
    });
  }

  /** Says good-bye and closes. Requests that are not answered yet are rejected. */
  async close(): Promise<void> {
    if (this.#lost !== null) return;
    // A frame or message that is half sent has to be given up; then there is nobody to say good-bye to.
    if (this.#copy === null) await Promise.race([this.#write(TERMINATE).catch(() => {}), sleep(LAST_WORDS_LIMIT_MS)]);
    this.#lose(this.#closedError());
  }

  /** Closes at once. */
  destroy(): void {
    this.#lose(this.#closedError());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #prepareSession(isLastChance: boolean): Promise<void> {
    const act = `Cannot connect to ${this.#target.displayAt(this.#route.host)}`;
    await checkSessionAttrs(this, this.#target, act, isLastChance);
    await applySettings(this, this.#options);
    this.#isUp = true;
  }

  // ---- sending

  /** Puts `reply` into the queue and sends its request. */
  #send(reply: Pending, bytes: Uint8Array): Promise<void> {
    this.#assertFree();
    this.#replies.push(reply);
    return this.#write(bytes);
  }

  #assertFree(): void {
    if (this.#lost !== null) throw this.#lost;
    if (this.#copy !== null) throw new Error("The connection is in the middle of a COPY: end that first");
    if (this.#run !== null) throw new Error("The connection has a run of raw messages open: call sync first");
  }

  /** Writes behind all earlier writes. A failure is told as the loss of the connection, with the server's last words. */
  #write(bytes: Uint8Array): Promise<void> {
    const written = this.#writing.then(async () => {
      if (this.#lost !== null) throw this.#lost;
      try {
        await writeAll(this.#transport, bytes);
      } catch (error) {
        await Promise.race([this.#ended.promise, sleep(LAST_WORDS_LIMIT_MS)]);
        this.#lose(error);
        throw this.#lost;
      }
    });
    this.#writing = written.catch(() => {});
    return written;
  }

  /** Gets out of a COPY FROM STDIN that came from a statement which was not expected to be one. */
  readonly #failCopyIn = (isSynced: boolean): void => {
    this.#write(copyFail("not expected")).catch(() => {});
    if (isSynced) this.#write(SYNC).catch(() => {});
  };

  /** Sends payloads as CopyData; small ones in one write with their header. One at a time: they share a buffer. */
  #payloadWriter(): (payload: Uint8Array) => Promise<void> {
    const frame = this.#smallFrame ??= new Uint8Array(HEADER_SIZE + SMALL_PAYLOAD_MAX);
    const view = new DataView(frame.buffer);
    const begin = (size: number) => {
      frame[0] = TAG.copyData;
      view.setInt32(1, size + 4);
    };
    return async (payload) => {
      if (payload.length <= SMALL_PAYLOAD_MAX) {
        begin(payload.length);
        frame.set(payload, HEADER_SIZE);
        return await this.#write(frame.subarray(0, HEADER_SIZE + payload.length));
      }
      for (let at = 0; at < payload.length; at += FRAME_PAYLOAD_MAX) {
        const piece = payload.subarray(at, at + FRAME_PAYLOAD_MAX);
        begin(piece.length);
        await this.#write(frame.slice(0, HEADER_SIZE));
        await this.#write(piece);
      }
    };
  }

  async #breakOff(reply: CopyOutReply): Promise<void> {
    reply.drop();
    try {
      await this.cancel();
    } catch (error) {
      this.#lose(error); // else the rest of a large table would have to be waited for
      return;
    }
    await reply.done.catch(() => {});
  }

  // ---- receiving

  /** Reads until the connection ends. Never rejects. */
  async #readAll(): Promise<void> {
    try {
      for (;;) {
        do {
          const head = this.#replies[0];
          if (head instanceof CopyOutReply && head.isStreaming) {
            const taken = this.#lendFrames(head);
            if (taken !== null) await taken;
          }
        } while (this.#takeMessage());
        this.#makeRoom();
        const size = await this.#transport.read(this.#buffer.subarray(this.#readEnd));
        if (size === null) throw new Deno.errors.UnexpectedEof("end of stream");
        this.#readEnd += size;
        this.#heardMs = performance.now();
      }
    } catch (error) {
      this.#lose(error);
    }
  }

  /**
   * A host that lost power or network says nothing, and neither does a server that works on a long statement. When an
   * answer is overdue, something is sent (a host that was restarted then refuses the connection) and a new connection
   * is tried: only when that fails as well, several times, is this one given up. Never rejects.
   */
  async #watch(silenceMs: number): Promise<void> {
    let failedCount = 0;
    let pause = pausing(silenceMs);
    while (await Promise.race([pause, this.#ended.promise.then(() => false)])) {
      pause = pausing(silenceMs);
      if (this.#replies.length === 0 || performance.now() - this.#heardMs < silenceMs) {
        failedCount = 0;
        continue;
      }
      // Flush asks for nothing and is welcome anywhere but inside the frames of a COPY FROM STDIN.
      if (!(this.#copy instanceof CopyInReply)) this.#write(FLUSH).catch(() => {});
      const act = `Lost connection to ${this.#target.displayAt(this.#route.host)}`;
      try {
        await redial(this.#route, CANCEL_LIMIT_MS, act, () => Promise.resolve());
        failedCount = 0;
      } catch (error) {
        if (++failedCount < UNREACHABLE_MAX) continue;
        const silentS = Math.round((performance.now() - this.#heardMs) / 1000);
        this.#lose(
          new SkyqError("connection-lost", `${act}: silent for ${silentS} s, and its host cannot be reached`, {
            hint: "Is the network up, and the server's host? Everything that was committed there is safe.",
            cause: error,
          }),
        );
      }
    }
  }

  #makeRoom(): void {
    const unread = this.#readEnd - this.#readStart;
    if (unread === 0) {
      this.#readStart = this.#readEnd = 0;
      if (this.#buffer.length > 4 * READ_BUFFER_SIZE) this.#buffer = new Uint8Array(READ_BUFFER_SIZE);
    } else if (this.#readStart > 0 && this.#readEnd > this.#buffer.length / 2) {
      this.#buffer.copyWithin(0, this.#readStart, this.#readEnd);
      this.#readStart = 0;
      this.#readEnd = unread;
    }
    if (this.#readEnd === this.#buffer.length) {
      const larger = new Uint8Array(this.#buffer.length * 2);
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
  }

  /**
   * Hands on all bytes that belong to CopyData frames, looking only at their headers. The bytes behind them move to the
   * other buffer as soon as that one is free, so that reading goes on while this one is lent.
   */
  #lendFrames(reply: CopyOutReply): Promise<void> | null {
    const buffer = this.#buffer;
    const view = viewOf(buffer);
    const end = this.#readEnd;
    const last = end - HEADER_SIZE;
    let at = this.#readStart + this.#frameLeft;
    while (at <= last && buffer[at] === TAG.copyData) {
      const length = view.getInt32(at + 1);
      if (length < 4) throw new MalformedMessage("CopyData");
      at += 1 + length;
    }
    const stop = Math.min(at, end);
    this.#frameLeft = at - stop;
    if (stop === this.#readStart) return null;

    const run = buffer.subarray(this.#readStart, stop);
    const rest = buffer.slice(stop, end);
    // The other buffer is free only when this run has been taken: until then the run before it is being used.
    const taken = reply.lend(run);
    if (taken === null) {
      this.#turnBuffers(rest);
      return null;
    }
    return taken.then(() => this.#turnBuffers(rest));
  }

  #turnBuffers(rest: Uint8Array): void {
    const lent = this.#buffer;
    if (this.#spare.length < READ_BUFFER_SIZE || this.#spare.length < rest.length * 2) {
      this.#spare = new Uint8Array(Math.max(READ_BUFFER_SIZE, rest.length * 2));
    }
    this.#spare.set(rest);
    this.#buffer = this.#spare;
    this.#spare = lent;
    this.#readStart = 0;
    this.#readEnd = rest.length;
  }

  /** Takes one whole message. @returns false when there is none yet */
  #takeMessage(): boolean {
    if (this.#frameLeft > 0) return false;
    const start = this.#readStart;
    const size = messageSize(this.#buffer, start, this.#readEnd);
    if (size === 0) return false;
    this.#readStart = start + size;
    this.#dispatch(this.#buffer[start]!, this.#buffer, start + HEADER_SIZE, this.#readStart);
    return true;
  }

  #dispatch(tagByte: number, bytes: Uint8Array, start: number, end: number): void {
    const head = this.#replies[0];
    switch (tagByte) {
      case TAG.parameterStatus: {
        const [name = "", value = ""] = readStrings(bytes, start, end);
        this.parameters.set(name, value);
        return;
      }
      case TAG.notice:
        this.#options.onNotice?.(readFields(bytes, start, end));
        return;
      case TAG.notification: {
        const [channel = "", payload = ""] = readStrings(bytes, start + 4, end);
        this.#options.onNotification?.({ channel, payload, processId: readInt32(bytes, start) });
        return;
      }
      case TAG.error: {
        const fields = readFields(bytes, start, end);
        if (head !== undefined) head.onServerError(fields);
        else this.#lastWords = fields;
        return;
      }
      case TAG.ready: {
        const status = String.fromCharCode(bytes[start]!);
        if (head === undefined || end - start !== 1 || !/[ITE]/.test(status)) {
          throw new MalformedMessage("ReadyForQuery");
        }
        this.#status = status as "I" | "T" | "E";
        this.#replies.shift();
        head.onReady();
        return;
      }
      default:
        if (head === undefined || !head.onMessage(tagByte, bytes, start, end)) {
          throw new MalformedMessage(nameOf(tagByte), "unexpected");
        }
    }
  }

  // ---- the end

  /** Ends the connection, once; everyone who waits is told. */
  #lose(cause: unknown): void {
    if (this.#lost !== null) return;
    const place = this.#target.displayAt(this.#route.host);
    const act = this.#isUp ? `Lost connection to ${place}` : `Cannot connect to ${place}`;
    if (cause instanceof SkyqError) {
      this.#lost = cause;
    } else if (this.#lastWords !== null) {
      this.#lost = toSkyqError(new ServerError(this.#lastWords), act, { connecting: !this.#isUp });
    } else if (cause instanceof MalformedMessage) {
      this.#lost = new SkyqError("protocol", `${act}: ${cause.message} from the server`, {
        hint: "Is it a PostgreSQL server that listens there, and does nothing in between change the stream?",
        cause,
      });
    } else {
      this.#lost = lostError(cause, act, !this.#isUp);
    }
    closeQuietly(this.#transport);
    for (const reply of this.#replies.splice(0)) reply.onLost(this.#lost);
    this.#run = null;
    this.#ended.resolve();
  }

  #closedError(): SkyqError {
    return new SkyqError("connection-lost", `Cannot use connection to ${this.#target.display}: it is closed`);
  }

  #translator(act: string, statement: string | null): Translate {
    return (fields) => {
      const facts = statement === null ? {} : { statement: shortStatement(statement) };
      const place = this.#target.displayAt(this.#route.host);
      return toSkyqError(new ServerError(fields), `Cannot ${act} on ${place}`, { connecting: !this.#isUp, facts });
    };
  }
}

/** @returns true after `ms`; does not keep the process alive */
function pausing(ms: number): Promise<true> {
  return new Promise((resolve) => Deno.unrefTimer(setTimeout(() => resolve(true), ms)));
}

class WireCopyIn implements CopyIn {
  readonly #walker = new FrameWalker();
  /** Calls wait for those before them, awaited or not: half a frame must not meet another. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly reply: CopyInReply,
    private readonly send: (bytes: Uint8Array) => Promise<void>,
    private readonly sendPayload: (payload: Uint8Array) => Promise<void>,
    private readonly release: () => void,
  ) {}

  write(payload: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      this.#check();
      if (!this.#walker.isBetweenFrames) throw new Error("A frame given to writeFrames is not complete yet");
      await this.sendPayload(payload);
      this.#check();
    });
  }

  writeFrames(frames: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      this.#check();
      this.#walker.walk(frames);
      await this.send(frames);
      this.#check();
    });
  }

  finish(): Promise<number> {
    return this.#inTurn(async () => {
      if (!this.#walker.isBetweenFrames) {
        const { error } = this.reply; // one from before: that is why the writer stopped in the middle
        await this.#giveUp("the last frame is not complete");
        throw error ?? new Error("The last frame given to writeFrames is not complete");
      }
      try {
        if (!this.reply.isDone) await this.send(COPY_DONE);
        return await this.reply.done;
      } finally {
        this.release();
      }
    });
  }

  abort(message: string): Promise<void> {
    return this.#inTurn(() => this.#giveUp(message));
  }

  async #giveUp(message: string): Promise<void> {
    try {
      // The server passes over what comes after an error, but it still has to find the messages' ends.
      const rest = this.#walker.completion();
      if (rest.length > 0) await this.send(rest);
      if (!this.reply.isDone) await this.send(copyFail(message));
      await this.reply.done;
    } catch (error) {
      if (error instanceof SkyqError && error.fault === "connection-lost") throw error;
    } finally {
      this.release();
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #check(): void {
    if (this.reply.error !== null) throw this.reply.error;
  }
}

function lostError(cause: unknown, act: string, connecting: boolean): SkyqError {
  try {
    return toSkyqError(cause, act, { connecting, fallback: connecting ? "connect" : "connection-lost" });
  } catch (bug) {
    return new SkyqError("connection-lost", `${act}: ${String(bug)}`, { cause: bug });
  }
}

function simpleQuery(sql: string): Uint8Array {
  return new MessageWriter().begin("Q").cstring(sql).end().done();
}

function copyFail(message: string): Uint8Array {
  return new MessageWriter().begin("f").cstring(message).end().done();
}
