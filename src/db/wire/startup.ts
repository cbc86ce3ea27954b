/** The first messages of a connection: who we are and what we want, up to the server's first ReadyForQuery. */
import { SkyqError } from "../../base/errors.ts";
import { ServerError, type ServerFields, toSkyqError } from "../errors.ts";
import type { Target, TargetHost } from "../target.ts";
import { authenticate } from "./auth.ts";
import {
  HEADER_SIZE,
  MalformedMessage,
  messageSize,
  MessageWriter,
  nameOf,
  PROTOCOL_VERSION,
  readFields,
  readInt32,
  readStrings,
  TAG,
} from "./messages.ts";
import { type Transport, writeAll } from "./transport.ts";

/** What the server told during the start-up. */
export interface Session {
  parameters: Map<string, string>;
  /** As a number: 150018 is 15.18, and 160000 is also 16beta1. */
  serverVersion: number;
  processId: number;
  cancelKey: Uint8Array;
  /** The messages after AuthenticationOk, up to ReadyForQuery, as they came. */
  greeting: Uint8Array;
  /** Bytes that were read beyond them. */
  rest: Uint8Array;
}

/** Enough for what follows in the same packet as ReadyForQuery; a start-up message is no longer than 30,000 bytes. */
const BUFFER_SIZE = 64 << 10;

/**
 * Starts a session over a fresh transport.
 * @throws {SkyqError} `auth`, `connect`, `protocol`, or what the server's refusal stands for
 */
export async function startSession(
  transport: Transport,
  target: Target,
  host: TargetHost,
  options: { applicationName?: string; onNotice?(notice: ServerFields): void },
): Promise<Session> {
  const act = `Cannot connect to ${target.displayAt(host)}`;
  const messages = new MessageReader(transport, act, options.onNotice);
  const send = (bytes: Uint8Array) => writeAll(transport, bytes);
  await send(startupMessage(target, options.applicationName ?? target.applicationName));
  await authenticate({ target, host, act, send, next: () => messages.next(TAG.authentication) });

  const session = { parameters: new Map<string, string>(), processId: 0, cancelKey: new Uint8Array(0) as Uint8Array };
  messages.startRecording();
  for (;;) {
    const { tagByte, body } = await messages.next();
    if (tagByte === TAG.ready) break;
    if (tagByte === TAG.parameterStatus) {
      const [name = "", value = ""] = readStrings(body, 0, body.length);
      session.parameters.set(name, value);
    } else if (tagByte === TAG.backendKeyData && body.length >= 8) {
      session.processId = readInt32(body, 0);
      session.cancelKey = body.slice(4);
    } else {
      throw protocolError(act, new MalformedMessage(nameOf(tagByte), "unexpected"));
    }
  }
  const serverVersion = versionNumber(session.parameters.get("server_version"));
  return { ...session, serverVersion, greeting: messages.recording(), rest: messages.rest() };
}

function versionNumber(text = ""): number {
  const [, major = "0", minor = "0"] = /^(\d+)(?:\.(\d+))?/.exec(text) ?? [];
  return Number(major) * 10_000 + Number(minor);
}

function startupMessage(target: Target, applicationName: string | null): Uint8Array {
  const message = new MessageWriter().begin().int32(PROTOCOL_VERSION);
  message.cstring("user").cstring(target.user).cstring("database").cstring(target.database);
  message.cstring("client_encoding").cstring("UTF8");
  if (applicationName) message.cstring("application_name").cstring(applicationName);
  if (target.options) message.cstring("options").cstring(target.options);
  return message.cstring("").end().done();
}

function protocolError(act: string, cause: MalformedMessage): SkyqError {
  return new SkyqError("protocol", `${act}: ${cause.message} from the server`, {
    hint: "Is it a PostgreSQL server that listens there, and does nothing in between change the stream?",
    cause,
  });
}

/** Pulls one message after the other. */
class MessageReader {
  readonly #transport: Transport;
  readonly #act: string;
  readonly #onNotice: ((notice: ServerFields) => void) | undefined;
  #buffer = new Uint8Array(BUFFER_SIZE);
  #start = 0;
  #end = 0;
  #recorded: Uint8Array[] | null = null;

  constructor(transport: Transport, act: string, onNotice?: (notice: ServerFields) => void) {
    this.#transport = transport;
    this.#act = act;
    this.#onNotice = onNotice;
  }

  /** The next message, errors thrown and notices told. Its body is a copy. @param wanted the only kind that may come */
  async next(wanted?: number): Promise<{ tagByte: number; body: Uint8Array }> {
    for (;;) {
      const size = await this.#fill();
      const frame = this.#buffer.slice(this.#start, this.#start + size);
      this.#start += size;
      const tagByte = frame[0]!;
      if (tagByte === TAG.error) {
        const cause = new ServerError(readFields(frame, HEADER_SIZE, size));
        throw toSkyqError(cause, this.#act, { connecting: true });
      }
      if (tagByte === TAG.notice) {
        this.#onNotice?.(readFields(frame, HEADER_SIZE, size));
        continue;
      }
      // The server cannot do a newer minor version or an option of ours: we ask for none, so there is nothing to do.
      if (tagByte === TAG.negotiate) continue;
      if (wanted !== undefined && tagByte !== wanted) {
        throw protocolError(this.#act, new MalformedMessage(nameOf(tagByte), "unexpected"));
      }
      this.#recorded?.push(frame);
      return { tagByte, body: frame.subarray(HEADER_SIZE) };
    }
  }

  startRecording(): void {
    this.#recorded = [];
  }

  recording(): Uint8Array {
    const frames = this.#recorded ?? [];
    const all = new Uint8Array(frames.reduce((sum, frame) => sum + frame.length, 0));
    let at = 0;
    for (const frame of frames) {
      all.set(frame, at);
      at += frame.length;
    }
    return all;
  }

  rest(): Uint8Array {
    return this.#buffer.slice(this.#start, this.#end);
  }

  /** Reads until a whole message is there. @returns its size */
  async #fill(): Promise<number> {
    for (;;) {
      let size: number;
      try {
        size = messageSize(this.#buffer, this.#start, this.#end);
      } catch (error) {
        throw error instanceof MalformedMessage ? protocolError(this.#act, error) : error;
      }
      if (size > 0) return size;
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
      if (this.#end === this.#buffer.length) throw protocolError(this.#act, new MalformedMessage("oversized"));
      const count = await this.#transport.read(this.#buffer.subarray(this.#end));
      if (count === null) throw new Deno.errors.UnexpectedEof("closed during the start-up");
      this.#end += count;
    }
  }
}
