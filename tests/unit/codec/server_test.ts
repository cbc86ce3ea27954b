import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EventCodec, type EventPart } from "../../../src/codec/event_codec.ts";
import { encodeUrl } from "../../../src/codec/urlencode.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { WireConnection } from "../../../src/db/wire/connection.ts";
import { lendDatabases } from "../../harness/pair.ts";
import { type Random, seeded } from "../../harness/seed.ts";

interface Row {
  id: string;
  b: string | null;
  "täb\\le\t": string | null;
}

/** Any character that a text can hold, with NULL and '' often. */
function randomText(random: Random): string | null {
  if (random.chance(0.2)) return random.pick([null, ""]);
  if (random.chance(0.2)) return random.pick(["\\N", "\\.", "\\", "a\tb\nc\rd", '{1,"2"}', "%41+", "\u{1f600}é\ufeff"]);
  const codes = Array.from({ length: random.int(0, 60) }, () => random.int(1, 0xd7ff));
  return String.fromCodePoint(...codes);
}

describe("EventCodec with a server", () => {
  const random = seeded("EventCodec with a server");
  let db: WireConnection;
  beforeAll(async () => {
    const [database] = await lendDatabases(1);
    db = await WireConnection.connect(parseTarget(database.dsn()));
    await db.exec(`create table ev (ev_id bigint, ev_txid bigint default 77, ev_type text, ev_data text)`);
    await db.exec(String.raw`create table t (id bigint primary key, b text, "täb\le${"\t"}" text, v int default 5)`);
  });
  afterAll(() => db.close());

  const shownRows = () => db.query<Row & { v: number }>("select id::text as id, t.* from t order by t.id");

  /** Writes a history of events as rows of `ev`. @returns what the table must hold after them */
  async function writeEvents(rows: Map<string, Row>, count: number): Promise<void> {
    const types: string[] = [];
    const datas: string[] = [];
    for (let i = 0; i < count; i++) {
      const row: Row = { id: String(random.int(1, 300)), b: randomText(random), "täb\\le\t": randomText(random) };
      const op = !rows.has(row.id) ? "I" : random.chance(0.3) ? "D" : "U";
      if (op === "D") rows.delete(row.id);
      else rows.set(row.id, row);
      types.push(`${op}:id`);
      datas.push(encodeUrl({ ...row }));
    }
    await db.query("delete from ev");
    await db.query(
      "insert into ev select n, 77, ty, da from unnest($1::text[], $2::text[]) with ordinality as x(ty, da, n)",
      [types, datas],
    );
  }

  /** Reads the events of `ev` into parts and gives each to `apply`. */
  async function replay(apply: (part: EventPart, table: number) => Promise<void>): Promise<void> {
    const codec = await EventCodec.create({ arenaBytes: 256 << 10 });
    const table = codec.addTable("public.t", { take: "all", mode: "net" });
    codec.addShape(table, {
      keyList: "id",
      columns: ["id", "b", "täb\\le\t"].map((name) => ({ name, key: name === "id", skip: false })),
      statements: { insert: "ins", update: "upd", delete: "del" },
    });
    let [part, other] = codec.parts;
    const events = db.copyOut(`copy (select ev_id, ev_txid, ev_type, 'public.t', ev_data, null, null, null from ev
      order by ev_id) to stdout`);
    const full: EventPart[] = []; // applied after the COPY, which keeps the connection busy
    for await (const chunk of events) {
      for (let at = 0; at < chunk.length;) {
        at += part.push(chunk.subarray(at));
        const result = part.scan();
        if (result.kind === "need-input") continue;
        expect(result.kind).toBe("full");
        full.push(part);
        if (full.length === 2) throw new Error("These events need more than two parts");
        part.moveRestTo(other);
        part = other;
      }
    }
    for (const ready of [...full, part]) await apply(ready, table);
    expect(other.stats.events).toBeGreaterThan(0);
  }

  const prepared = [
    ["ins", String.raw`insert into t (id, b, "täb\le${"\t"}") values ($1, $2, $3)`],
    ["upd", String.raw`update t set b = $2, "täb\le${"\t"}" = $3 where id = $1`],
    ["del", "delete from t where id = $1"],
    [
      "updates",
      String.raw`update t set b = x.b, "täb\le${"\t"}" = x.c
        from unnest($1::text[], $2::text[], $3::text[]) as x(id, b, c) where t.id = x.id::bigint`,
    ],
    ["deletes", "delete from t using unnest($1::text[]) as x(id) where t.id = x.id::bigint"],
    ["inserts", String.raw`insert into t select x.*, 5 from unnest($1::bigint[], $2::text[], $3::text[]) as x`],
  ] as const;

  it("the server takes net arrays and COPY lines, and ordered messages, to the same rows", async () => {
    for (const [name, sql] of prepared) {
      await db.prepare(name, sql.replace("$1::bigint[]", "($1::text[])::bigint[]"));
    }
    const rows = new Map<string, Row>();
    for (const way of ["net", "ordered", "net", "arrays"] as const) {
      await writeEvents(rows, 900);
      await replay(async (part, table) => {
        if (way === "ordered") {
          for (const piece of part.emitOrdered()) await db.sendRaw(piece.bytes);
          expect((await db.sync()).length).toBe(part.rowCount(table));
          return;
        }
        const net = part.net(table);
        for (const piece of part.emitArrays(table, "delete", { statement: "deletes", rowsMax: 50 })) {
          await db.sendRaw(piece.bytes);
        }
        for (const piece of part.emitArrays(table, "update", { statement: "updates" })) await db.sendRaw(piece.bytes);
        if (way === "arrays") {
          for (const piece of part.emitArrays(table, "insert", { statement: "inserts" })) await db.sendRaw(piece.bytes);
        }
        const tags = await db.sync();
        const counted = (word: string) =>
          tags.filter((tag) => tag.startsWith(word)).reduce((sum, tag) => sum + Number(tag.split(" ").at(-1)), 0);
        expect([counted("DELETE"), counted("UPDATE")]).toEqual([net.deletes, net.updates]);
        if (way === "arrays") return expect(counted("INSERT")).toBe(net.inserts);
        const copy = await db.copyIn(String.raw`copy t (id, b, "täb\le${"\t"}") from stdin`);
        for (const piece of part.emitCopyRows(table, "insert")) await copy.writeFrames(piece.frame);
        expect(await copy.finish()).toBe(net.inserts);
      });
      const expected = [...rows.values()].sort((a, b) => Number(a.id) - Number(b.id));
      const found = (await shownRows()).map((row) => ({ ...row, id: String(row.id) }));
      expect(found).toEqual(expected.map((row) => ({ ...row, v: 5 })));
    }
  });
});
