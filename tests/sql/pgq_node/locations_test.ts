import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { QueueDatabase } from "../pgq/database.ts";

describe("pgq_node.drop_node()", () => {
  let db: QueueDatabase;
  beforeAll(async () => {
    db = await QueueDatabase.create();
  });
  afterAll(() => db.close());
  beforeEach(async () => {
    await db.rows("setup", "select pgq_node.drop_node('q', 'n1')");
    for (const node of ["n1", "n2", "n3"]) {
      await db.rows("setup", `select pgq_node.register_location('q', '${node}', 'dbname=${node}', false)`);
    }
    await db.rows("setup", "select pgq_node.create_node('q', 'root', 'n1', 'n1_worker', null, null, null)");
    await db.rows("setup", "select pgq_node.register_subscriber('q', 'n2', 'n2_worker', null)");
  });

  const call = (name: string, args: string) => db.rows("admin", `select * from pgq_node.${name}(${args})`);
  const events = () => db.rows("admin", "select ev_type, ev_data, ev_extra1 from pgq.event_template order by ev_id");
  const nodes = () => db.rows("admin", "select node_name from pgq_node.get_queue_locations('q') order by 1");

  it("of another node on the root tells all nodes, as unregister_location() does", async () => {
    expect(await call("drop_node", "'q', 'n2'")).toEqual([[200, "Node dropped: n2"]]);
    expect(await call("unregister_location", "'q', 'n3'")).toEqual([[200, "Ok"]]);
    expect(await events()).toEqual([["pgq.unregister-location", "n2", "q"], ["pgq.unregister-location", "n3", "q"]]);
    expect(await nodes()).toEqual([["n1"]]);
    expect(await db.rows("admin", "select consumer_name from pgq.get_consumer_info()")).toEqual([[
      ".global_watermark",
    ]]);
  });

  it("without a name drops nothing", async () => {
    expect(await call("drop_node", "'q', null")).toEqual([[200, null]]);
    expect(await nodes()).toEqual([["n1"], ["n2"], ["n3"]]);
    expect(await db.value("admin", "select pgq_node.is_root_node('q')")).toBe(true);
    expect(await db.value("admin", "select count(*) from pgq.queue")).toBe(1);
  });
});
