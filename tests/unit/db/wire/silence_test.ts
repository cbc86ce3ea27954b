import { afterAll, describe, expect, it } from "vitest";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import { lendDatabases } from "../../../harness/pair.ts";

const [database] = await lendDatabases(1);

/** A network between client and server, which can be cut: nothing gets through then, and nobody is told. */
class Network {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #ends: Deno.Conn[] = [];
  isCut = false;

  constructor() {
    this.#accept();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: database!.cluster.port });
      this.#ends.push(client, server);
      this.#forward(client, server);
      this.#forward(server, client);
    }
  }

  async #forward(from: Deno.Conn, to: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(4096);
    try {
      for (let size = await from.read(buffer); size !== null; size = await from.read(buffer)) {
        if (!this.isCut) await to.write(buffer.subarray(0, size));
      }
    } catch {
      // an end was closed
    }
  }

  cut(): void {
    this.isCut = true;
    this.#listener.close();
  }

  close(): void {
    for (const end of this.#ends) end.close();
  }
}

describe("a server that says nothing", () => {
  const networks: Network[] = [];
  afterAll(() => networks.forEach((network) => network.close()));

  async function connect(): Promise<{ network: Network; db: WireConnection }> {
    const network = new Network();
    networks.push(network);
    const dsn = `${database!.dsn()} host=127.0.0.1 port=${network.port}`;
    return { network, db: await WireConnection.connect(parseTarget(dsn), { silenceMs: 100 }) };
  }

  it("is given up when its host cannot be reached any more", async () => {
    const { network, db } = await connect();
    const answer = db.query("select pg_sleep(100)").catch((error) => error);
    network.cut();
    expect(await answer).toMatchObject({
      fault: "connection-lost",
      message: expect.stringContaining("cannot be reached"),
    });
    expect(db.isClosed).toBe(true);
  });

  it("is waited for as long as its host is there", async () => {
    const { network, db } = await connect();
    await db.query("select pg_sleep(1.2)");
    expect(await db.query("select 1 as one")).toEqual([{ one: 1 }]);
    db.destroy();
    network.cut();
  });
});
