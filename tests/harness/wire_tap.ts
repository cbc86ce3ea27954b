/**
 * A proxy in front of a database that knows which statement a client is about to run, and can stop the world there.
 *
 * ```
 * skyq ──frontend messages──▶ tap ──▶ server      each Query, Bind and CopyDone is a step: "APPLICATION: TEXT"
 *      ◀──────────────────── tap ◀── replies
 * ```
 * Shut `before` a step, the server never sees it; shut `after` it, the server has run it and its answer is kept back. In
 * both cases nothing more passes on that connection: whoever kills the client then kills it at exactly that place.
 */
import { LentDatabase } from "./pair.ts";

export type When = "before" | "after";

interface Trap {
  readonly step: string;
  readonly when: When;
  /** Which of the steps of this name, from 1. */
  nth: number;
  readonly sprung: () => void;
}

const SSL_REQUEST = 80877103;
const GSSENC_REQUEST = 80877104;
const CANCEL_REQUEST = 80877102;

/** A database that is reached through a tap by whoever uses {@link LentDatabase.dsn}; `sql` goes straight to it. */
export class TappedDatabase extends LentDatabase implements AsyncDisposable {
  /** Names of the steps seen since {@link record}, in order. */
  steps: string[] = [];
  readonly #listener: Deno.TcpListener;
  #trap: Trap | null = null;
  readonly #open = new Set<Deno.TcpConn>();

  constructor(database: LentDatabase) {
    super(database.cluster, database.name);
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#accept();
  }

  override dsn(user?: string): string {
    return super.dsn(user).replace(/\bport=\d+/, `port=${this.#listener.addr.port}`);
  }

  /** Forgets the steps seen so far. */
  record(): void {
    this.steps = [];
  }

  /** @returns when somebody stands at the `nth` step of that name from now on; {@link clear} lets later ones pass */
  reached(step: string, when: When, nth = 1): Promise<void> {
    return new Promise((resolve) => this.#trap = { step, when, nth, sprung: resolve });
  }

  clear(): void {
    this.#trap = null;
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      this.#serve(client).catch(() => {}).finally(() => this.#close(client));
    }
  }

  #close(connection: Deno.TcpConn): void {
    this.#open.delete(connection);
    try {
      connection.close();
    } catch {
      // Closed by the other direction.
    }
  }

  async #serve(client: Deno.TcpConn): Promise<void> {
    this.#open.add(client);
    const server = await Deno.connect({ hostname: this.cluster.host, port: this.cluster.port });
    this.#open.add(server);
    for (const connection of [client, server]) connection.setNoDelay(true);
    const line = new Line();
    const up = this.#relayUp(client, server, line);
    const down = this.#relayDown(server, client, line);
    await Promise.race([up, down].map((way) => way.catch(() => {})));
    this.#close(server);
    this.#close(client);
  }

  /** Client to server, message by message. */
  async #relayUp(client: Deno.TcpConn, server: Deno.TcpConn, line: Line): Promise<void> {
    const reader = new MessageReader(false);
    for await (const chunk of chunks(client)) {
      reader.push(chunk);
      for (let message; (message = reader.next()) !== null;) {
        const step = line.stepOf(message);
        if (step !== null) {
          this.steps.push(step);
          const trap = this.#trap;
          if (trap?.step === step && --trap.nth <= 0) {
            this.#trap = null;
            line.held = trap;
            if (trap.when === "before") {
              trap.sprung();
              await ended(client);
              return;
            }
          }
        }
        await writeAll(server, message.bytes);
        if (message.type === null && line.code(message) !== null) reader.isTyped = line.isStarted;
      }
    }
  }

  /** Server to client, until an answer is to be kept back. */
  async #relayDown(server: Deno.TcpConn, client: Deno.TcpConn, line: Line): Promise<void> {
    const reader = new MessageReader(true);
    for await (const chunk of chunks(server)) {
      if (!line.isStarted) {
        // One byte that answers a request for encryption.
        await writeAll(client, chunk);
        continue;
      }
      reader.push(chunk);
      for (let message; (message = reader.next()) !== null;) {
        const { held } = line;
        // ReadyForQuery, or the server is ready for the COPY that was asked for.
        if (held !== null && (message.type === "Z" || message.type === "G" || message.type === "H")) {
          held.sprung();
          await ended(client);
          return;
        }
        await writeAll(client, message.bytes);
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of [...this.#open]) this.#close(connection);
    return Promise.resolve();
  }
}

interface Message {
  /** null for the untyped ones at the start of a connection. */
  readonly type: string | null;
  readonly bytes: Uint8Array;
}

/** What is known of one connection. */
class Line {
  /** The start-up packet has passed: what follows has types. */
  isStarted = false;
  held: Trap | null = null;
  #application = "";
  /** Texts of prepared statements by name. */
  readonly #texts = new Map<string, string>();

  code(message: Message): number | null {
    return message.type === null ? view(message.bytes).getInt32(4) : null;
  }

  /** @returns the step's name, null for messages that are none */
  stepOf(message: Message): string | null {
    const body = message.bytes.subarray(5);
    switch (message.type) {
      case null: {
        const code = this.code(message);
        if (code === SSL_REQUEST || code === GSSENC_REQUEST) return null;
        this.isStarted = true;
        if (code === CANCEL_REQUEST) return null;
        const words = new TextDecoder().decode(message.bytes.subarray(8)).split("\0");
        const at = words.indexOf("application_name");
        this.#application = at < 0 ? "" : words[at + 1]!;
        return `${this.#application}: connect`;
      }
      case "P": {
        const [name = "", text = ""] = cstrings(body, 2);
        this.#texts.set(name, text);
        return null;
      }
      case "B": {
        const [, name = ""] = cstrings(body, 2);
        return this.#step(this.#texts.get(name) ?? "");
      }
      case "Q":
        return this.#step(cstrings(body, 1)[0]!);
      case "c":
        return `${this.#application}: end of copied rows`;
      default:
        return null;
    }
  }

  /** Numbers and line breaks differ from run to run. */
  #step(text: string): string {
    const plain = text.replaceAll(/\s+/g, " ").replaceAll(/\d+/g, "N").trim();
    return `${this.#application}: ${plain.slice(0, 160)}`;
  }
}

/** Cuts a stream into messages. */
class MessageReader {
  #rest: Uint8Array = new Uint8Array();

  constructor(public isTyped: boolean) {}

  push(chunk: Uint8Array): void {
    if (this.#rest.length === 0) {
      this.#rest = chunk;
      return;
    }
    const joined = new Uint8Array(this.#rest.length + chunk.length);
    joined.set(this.#rest);
    joined.set(chunk, this.#rest.length);
    this.#rest = joined;
  }

  next(): Message | null {
    const headSize = this.isTyped ? 1 : 0;
    if (this.#rest.length < headSize + 4) return null;
    const size = headSize + view(this.#rest).getInt32(headSize);
    if (this.#rest.length < size) return null;
    const bytes = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(size);
    return { type: this.isTyped ? String.fromCharCode(bytes[0]!) : null, bytes };
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function cstrings(bytes: Uint8Array, count: number): string[] {
  const found: string[] = [];
  for (let from = 0; found.length < count;) {
    const end = bytes.indexOf(0, from);
    if (end < 0) break;
    found.push(new TextDecoder().decode(bytes.subarray(from, end)));
    from = end + 1;
  }
  return found;
}

async function* chunks(connection: Deno.TcpConn): AsyncGenerator<Uint8Array> {
  for (;;) {
    const buffer = new Uint8Array(64 * 1024);
    const size = await connection.read(buffer);
    if (size === null) return;
    yield buffer.subarray(0, size);
  }
}

/** Waits until the client is gone; what it still says is passed over. */
async function ended(client: Deno.TcpConn): Promise<void> {
  try {
    for await (const _ of chunks(client));
  } catch {
    // A process that was killed does not say goodbye.
  }
}

async function writeAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
}
