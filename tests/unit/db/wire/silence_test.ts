import { afterAll, describe, expect, it } from "vitest";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import { Network } from "../../../harness/network.ts";
import { lendDatabases } from "../../../harness/pair.ts";

const [database] = await lendDatabases(1);

describe("a server that says nothing", () => {
  const networks: Network[] = [];
  afterAll(() => networks.forEach((network) => network.close()));

  async function connect(): Promise<{ network: Network; db: WireConnection }> {
    const network = new Network(database!.cluster.port);
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
