/** A server that says exactly what a test wants, byte for byte: what no real one would say. */
import { parseTarget, type Target } from "../../../../src/db/target.ts";

const encoder = new TextEncoder();

/** A backend message: letter, length, then the parts; numbers are int32, texts end with a zero byte. */
export function message(letter: string, ...parts: (string | number | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  const bodies = parts.map((part) => {
    if (typeof part === "string") return encoder.encode(`${part}\0`);
    if (typeof part !== "number") return part;
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, part);
    return bytes;
  });
  const body = concat(...bodies);
  const bytes = new Uint8Array(5 + body.length);
  bytes[0] = letter.charCodeAt(0);
  new DataView(bytes.buffer).setInt32(1, 4 + body.length);
  bytes.set(body, 5);
  return bytes;
}

export function concat(...pieces: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** Bytes of a text, without a closing zero. */
export function raw(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

export const READY = message("Z", raw("I"));
/** AuthenticationOk to ReadyForQuery. */
export const WELCOME = concat(
  message("R", 0),
  message("S", "server_version", "15.3 (Mock)"),
  message("K", 4711, 42),
  READY,
);
/** The answer to the settings that a session makes after its start-up. */
export const SETTINGS_DONE = concat(message("1"), message("2"), message("n"), message("C", "SELECT 5"), READY);

/** One connection of a client, as the test's script sees it. */
export class MockClient {
  #rest = new Uint8Array(0);

  constructor(readonly conn: Deno.Conn) {}

  /** The next message of the client. Only the start-up has no letter. @returns null when it has closed */
  async receive(hasLetter = true): Promise<{ letter: string; body: Uint8Array } | null> {
    const at = hasLetter ? 1 : 0;
    for (;;) {
      if (this.#rest.length >= at + 4) {
        const size = at + new DataView(this.#rest.buffer, this.#rest.byteOffset).getInt32(at);
        if (this.#rest.length >= size) {
          const letter = hasLetter ? String.fromCharCode(this.#rest[0]!) : "";
          const body = this.#rest.slice(at + 4, size);
          this.#rest = this.#rest.slice(size);
          return { letter, body };
        }
      }
      const block = new Uint8Array(65536);
      const count = await this.conn.read(block).catch(() => null);
      if (count === null) return null;
      this.#rest = concat(this.#rest, block.subarray(0, count));
    }
  }

  /** Reads up to and including the next message of this kind. */
  async until(letter: string): Promise<void> {
    for (;;) {
      const next = await this.receive();
      if (next === null) throw new Error(`The client closed before it sent "${letter}"`);
      if (next.letter === letter) return;
    }
  }

  async send(...pieces: Uint8Array[]): Promise<void> {
    const bytes = concat(...pieces);
    for (let at = 0; at < bytes.length;) at += await this.conn.write(bytes.subarray(at));
  }

  /** As `send`, in pieces of `size` bytes with a pause between, so that each is a read of its own. */
  async trickle(size: number, ...pieces: Uint8Array[]): Promise<void> {
    const bytes = concat(...pieces);
    for (let at = 0; at < bytes.length; at += size) {
      await this.send(bytes.subarray(at, at + size));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Start-up and settings, as a server does that trusts everybody. */
  async welcome(): Promise<void> {
    await this.receive(false);
    await this.send(WELCOME);
    await this.until("S");
    await this.send(SETTINGS_DONE);
  }

  close(): void {
    try {
      this.conn.close();
    } catch {
      // the client was faster
    }
  }
}

export class MockServer implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #clients: MockClient[] = [];
  readonly port = (this.#listener.addr as Deno.NetAddr).port;

  /** @param scripts what to do with the first connection, the second, …; the last is for all that follow */
  constructor(...scripts: ((client: MockClient) => Promise<void>)[]) {
    (async () => {
      let index = 0;
      for await (const conn of this.#listener) {
        const client = new MockClient(conn);
        this.#clients.push(client);
        // A client that goes away is the business of the test, which sees the same from the other side.
        scripts[Math.min(index++, scripts.length - 1)]!(client).catch(() => {});
      }
    })();
  }

  target(extra = "sslmode=disable"): Target {
    return parseTarget(`host=127.0.0.1 port=${this.port} user=u dbname=d connect_timeout=5 ${extra}`);
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const client of this.#clients) client.close();
  }
}
