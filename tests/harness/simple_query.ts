/**
 * The smallest client that can check what the product did without using any of the product: one connection, no
 * password, the simple query protocol, results as text the way `psql -At` prints them.
 */
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface SimpleQueryTarget {
  /** Path of the server's socket file. */
  readonly socket: string;
  readonly user: string;
  readonly database: string;
}

/** The server refused a statement. */
export class ServerError extends Error {
  constructor(message: string, readonly sqlstate: string) {
    super(message);
    this.name = "ServerError";
  }
}

/** One message: its tag (empty for the start-up packet), its length, its body. */
function frame(tag: string, body: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = typeof body === "string" ? encoder.encode(body) : body;
  const out = new Uint8Array(tag.length + 4 + bytes.length);
  encoder.encodeInto(tag, out);
  new DataView(out.buffer).setInt32(tag.length, bytes.length + 4);
  out.set(bytes, tag.length + 4);
  return out;
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await conn.write(bytes.subarray(done));
}

/** Messages of `conn` one by one; ends when the server closes. */
async function* messages(conn: Deno.Conn): AsyncGenerator<{ tag: string; body: Uint8Array }> {
  let held = new Uint8Array(0);
  const chunk = new Uint8Array(64 << 10);
  for (let count = await conn.read(chunk); count !== null; count = await conn.read(chunk)) {
    const joined = new Uint8Array(held.length + count);
    joined.set(held);
    joined.set(chunk.subarray(0, count), held.length);
    const view = new DataView(joined.buffer);
    let at = 0;
    while (joined.length - at >= 5 && joined.length - at >= 1 + view.getInt32(at + 1)) {
      const end = at + 1 + view.getInt32(at + 1);
      yield { tag: String.fromCharCode(joined[at] ?? 0), body: joined.subarray(at + 5, end) };
      at = end;
    }
    held = joined.subarray(at);
  }
}

function serverError(body: Uint8Array): ServerError {
  const fields = new Map<string, string>();
  for (const field of decoder.decode(body).split("\0")) if (field !== "") fields.set(field[0] ?? "", field.slice(1));
  const lines = [`${fields.get("S")}: ${fields.get("M")}`];
  for (const [code, label] of [["D", "DETAIL"], ["H", "HINT"], ["W", "CONTEXT"]] as const) {
    if (fields.has(code)) lines.push(`${label}: ${fields.get(code)}`);
  }
  return new ServerError(lines.join("\n"), fields.get("C") ?? "");
}

function rowText(body: Uint8Array): string {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const columns: string[] = [];
  let at = 2;
  for (let left = view.getInt16(0); left > 0; left--) {
    const size = view.getInt32(at);
    at += 4;
    columns.push(size < 0 ? "" : decoder.decode(body.subarray(at, at + size)));
    if (size > 0) at += size;
  }
  return columns.join("|");
}

/** A session for texts one after the other; after an error it is of no use any more. */
export class SimpleSession implements AsyncDisposable {
  readonly #conn: Deno.Conn;
  readonly #messages: AsyncGenerator<{ tag: string; body: Uint8Array }>;
  readonly #target: SimpleQueryTarget;

  private constructor(conn: Deno.Conn, target: SimpleQueryTarget) {
    this.#conn = conn;
    this.#messages = messages(conn);
    this.#target = target;
  }

  /** @throws {ServerError} when the server refuses; other errors when it is not there */
  static async open(target: SimpleQueryTarget): Promise<SimpleSession> {
    const session = new SimpleSession(await Deno.connect({ transport: "unix", path: target.socket }), target);
    try {
      const options = ["user", target.user, "database", target.database, "application_name", "skyq test", "", ""];
      // Protocol 3.0, then name/value pairs.
      await writeAll(session.#conn, frame("", encoder.encode(`\0\x03\0\0${options.join("\0")}`)));
      await session.#answer();
      return session;
    } catch (error) {
      session.#conn.close();
      throw error;
    }
  }

  /** As {@link simpleQuery}. */
  async query(text: string): Promise<string> {
    await writeAll(this.#conn, frame("Q", `${text}\0`));
    return await this.#answer();
  }

  /** All rows until the server is ready for the next query. */
  async #answer(): Promise<string> {
    const rows: string[] = [];
    let failure: ServerError | null = null;
    for (let next = await this.#messages.next(); !next.done; next = await this.#messages.next()) {
      const { tag, body } = next.value;
      if (tag === "R" && new DataView(body.buffer, body.byteOffset).getInt32(0) !== 0) {
        throw new Error(`Cannot query as "${this.#target.user}": the server wants a password`);
      }
      if (tag === "E") failure ??= serverError(body);
      if (tag === "D") rows.push(rowText(body));
      if (tag === "d") rows.push(decoder.decode(body).replace(/\n$/, ""));
      if (tag === "G") await writeAll(this.#conn, frame("f", "this client has no data\0"));
      if (tag === "Z") {
        if (failure !== null) throw failure;
        return rows.join("\n");
      }
    }
    throw failure ?? new Error(`Cannot query database "${this.#target.database}": the server closed the connection`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await writeAll(this.#conn, frame("X", "")).catch(() => {});
    this.#conn.close();
  }
}

/**
 * Runs `text`, which may hold several statements: they are one transaction unless they say otherwise.
 * @returns the rows of all results, columns joined by `|`, rows by line feeds, NULL as nothing; also what COPY TO STDOUT gave
 * @throws {ServerError} the first error; other errors when the connection breaks
 */
export async function simpleQuery(target: SimpleQueryTarget, text: string): Promise<string> {
  await using session = await SimpleSession.open(target);
  return await session.query(text);
}
