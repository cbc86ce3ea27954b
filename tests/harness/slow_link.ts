/** A network path to a server that is as slow as it is told, counts what passes, and can be cut. */

export interface SlowLinkOptions {
  readonly host: string;
  readonly port: number;
  /** Both directions each; default: as fast as it goes. */
  readonly bytesPerSecond?: number;
}

const BLOCK_SIZE = 16 << 10;

export class SlowLink implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #options: SlowLinkOptions;
  readonly #connections = new Set<Deno.TcpConn>();
  #isCut = false;
  /** Bytes that have passed, both directions. */
  bytes = 0;
  /** When each direction is free again: all connections share the path. */
  #freeMs = { up: 0, down: 0 };

  private constructor(listener: Deno.TcpListener, options: SlowLinkOptions) {
    this.#listener = listener;
    this.#options = options;
    this.#accept();
  }

  static open(options: SlowLinkOptions): SlowLink {
    return new SlowLink(Deno.listen({ hostname: "127.0.0.1", port: 0 }) as Deno.TcpListener, options);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** From now on nothing passes and nobody is told: what a pulled plug looks like. */
  cut(): void {
    this.#isCut = true;
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      this.#join(client).catch(() => {});
    }
  }

  async #join(client: Deno.TcpConn): Promise<void> {
    const { host, port } = this.#options;
    const server = await Deno.connect({ hostname: host, port });
    for (const each of [client, server]) {
      each.setNoDelay(true);
      this.#connections.add(each);
    }
    await Promise.all([this.#pump(client, server, "up"), this.#pump(server, client, "down")]);
  }

  async #pump(from: Deno.TcpConn, to: Deno.TcpConn, way: "up" | "down"): Promise<void> {
    const block = new Uint8Array(BLOCK_SIZE);
    try {
      for (let size = await from.read(block); size !== null; size = await from.read(block)) {
        while (this.#isCut) await new Promise((resolve) => setTimeout(resolve, 50));
        this.bytes += size;
        const { bytesPerSecond } = this.#options;
        if (bytesPerSecond !== undefined) {
          const nowMs = performance.now();
          this.#freeMs[way] = Math.max(nowMs, this.#freeMs[way]) + (size / bytesPerSecond) * 1000;
          await new Promise((resolve) => setTimeout(resolve, this.#freeMs[way] - nowMs));
        }
        for (let at = 0; at < size;) at += await to.write(block.subarray(at, size));
      }
    } catch {
      // One end is gone; so is the other one.
    }
    for (const each of [from, to]) this.#close(each);
  }

  #close(connection: Deno.TcpConn): void {
    if (!this.#connections.delete(connection)) return;
    try {
      connection.close();
    } catch {
      // It was closed already.
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#isCut = false;
    this.#listener.close();
    for (const each of [...this.#connections]) this.#close(each);
    return Promise.resolve();
  }
}
