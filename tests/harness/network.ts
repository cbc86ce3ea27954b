/** A network between clients and one server on loopback, which can be cut in two ways. */
export class Network {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #ends = new Set<Deno.Conn>();
  #isSilent = false;

  constructor(readonly serverPort: number) {
    this.#accept();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: this.serverPort });
      this.#ends.add(client).add(server);
      this.#forward(client, server);
      this.#forward(server, client);
    }
  }

  async #forward(from: Deno.Conn, to: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(64 << 10);
    try {
      for (let size = await from.read(buffer); size !== null; size = await from.read(buffer)) {
        if (this.#isSilent) continue;
        for (let done = 0; done < size;) done += await to.write(buffer.subarray(done, size));
      }
    } catch {
      // an end was closed
    }
    this.#close(to);
  }

  #close(end: Deno.Conn): void {
    if (this.#ends.delete(end)) end.close();
  }

  /** From now on nothing gets through, and nobody is told. */
  cut(): void {
    this.#isSilent = true;
    this.#listener.close();
  }

  /** Ends all connections, as a server does that is killed; others can be made afterwards. */
  drop(): void {
    for (const end of this.#ends) this.#close(end);
  }

  close(): void {
    if (!this.#isSilent) this.#listener.close();
    this.drop();
  }
}
