import { afterAll, describe, expect, it } from "vitest";
import { silentLog } from "../../../../src/base/log.ts";
import { installSchemas } from "../../../../src/db/install.ts";
import { openSql } from "../../../../src/db/sql.ts";
import { parseTarget } from "../../../../src/db/target.ts";
import { commonColumns } from "../../../../src/engine/copy/load.ts";
import { leaveOut } from "../../../../src/engine/nodes/left_out.ts";
import { lendDatabases } from "../../../harness/pair.ts";

const closing: { close(): Promise<void> }[] = [];
afterAll(async () => {
  for (const session of closing) await session.close();
});

describe("commonColumns()", () => {
  it("leaves out what this queue's table leaves out, and not what another queue's of the same name does", async () => {
    const [provider, subscriber] = await lendDatabases(2);
    await provider.sql("create table t (id integer primary key, a text, b text)");
    await subscriber.sql("create table t (id integer primary key, a text)");
    const [from, to] = [await openSql(parseTarget(provider.dsn())), await openSql(parseTarget(subscriber.dsn()))];
    closing.push(from, to);
    await installSchemas(to, { log: silentLog });
    await to.query(
      `with queue as (
         insert into pgq_node.node_location (queue_name, node_name, node_location)
         select q, 'leaf', 'dbname=x' from unnest(array['one', 'two']) q returning queue_name),
       node as (
         insert into pgq_node.node_info (queue_name, node_type, node_name, worker_name)
         select queue_name, 'leaf', 'leaf', 'w' from queue returning queue_name)
       select from node`,
    );
    await to.query(
      `insert into londiste.table_info (queue_name, table_name, local, table_attrs)
       values ('one', 'public.t', true, null), ('two', 'public.t', true, $1)`,
      [leaveOut(["b"])],
    );
    const copy = { sourceTable: "public.t", destTable: "public.t", log: silentLog };
    expect((await commonColumns(from, to, { ...copy, queue: "two" })).map(({ name }) => name)).toEqual(["id", "a"]);
    await expect(commonColumns(from, to, { ...copy, queue: "one" })).rejects.toMatchObject({
      fault: "structure",
      message: expect.stringMatching(/has no column b$/),
    });
  });
});
