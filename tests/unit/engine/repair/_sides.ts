/** Two sides with the same or different rows in `public.t`, and what a walk says of them. */
import { afterAll } from "vitest";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import { fixStatement, undoStatement } from "../../../../src/engine/repair/fix.ts";
import { type Layout, type LayoutOptions, readLayout } from "../../../../src/engine/repair/layout.ts";
import { type Difference, type WalkCounts, type WalkOptions, walkTables } from "../../../../src/engine/repair/walk.ts";
import { pair } from "../../../harness/pair.ts";

const decoder = new TextDecoder();

export interface Walked {
  readonly counts: WalkCounts;
  readonly layout: Layout;
  readonly differences: Difference[];
  /** `+key`, `-key` and `~key`, with the key's cells as text, joined by `|`. */
  readonly shown: string[];
}

export const textOf = (bytes: Uint8Array | null): string | null => bytes === null ? null : decoder.decode(bytes);

const SIGNS = { insert: "+", delete: "-", update: "~" } as const;

export class Sides {
  constructor(readonly source: WireConnection, readonly target: WireConnection) {}

  /** A second session in a side's database. */
  async another(side: "source" | "target"): Promise<WireConnection> {
    const [{ dsn }] = await this[side].query<{ dsn: string }>(
      `select format('host=127.0.0.1 port=%s user=%s dbname=%s', current_setting('port'), session_user, current_database())
         as dsn`,
    ) as [{ dsn: string }];
    return await WireConnection.connect(parseTarget(dsn));
  }

  /** Runs the same on both sides. */
  async both(sql: string): Promise<void> {
    await Promise.all([this.source.exec(sql), this.target.exec(sql)]);
  }

  layout(options: Partial<LayoutOptions> = {}): Promise<Layout> {
    return readLayout(this.source, this.target, { sourceTable: "public.t", targetTable: "public.t", ...options });
  }

  async walk(options: Partial<WalkOptions & LayoutOptions> = {}): Promise<Walked> {
    const layout = options.layout ?? await this.layout(options);
    const differences: Difference[] = [];
    const { source, target } = this;
    const onDifference = (one: Difference) => void differences.push(one);
    const counts = await walkTables({ source, target, onDifference, ...options, layout });
    const shown = differences.map(({ kind, key }) => SIGNS[kind] + key.map((cell) => textOf(cell) ?? "NULL").join("|"));
    return { counts, layout, differences, shown };
  }

  /** Applies fixes (or undos) to the target, as the bytes they are. */
  async apply({ layout, differences }: Walked, statement: typeof fixStatement | typeof undoStatement): Promise<void> {
    // As psql would: deletes first, so that no unique key is in the way.
    const order = { delete: 0, update: 1, insert: 2 } as const;
    const sorted = [...differences].sort((a, b) => order[a.kind] - order[b.kind]);
    if (statement === undoStatement) sorted.reverse();
    for (const one of sorted) {
      const sql = statement(layout, one);
      if (sql !== null) await this.target.exec(decoder.decode(sql));
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.source.close(), this.target.close()]);
  }
}

/** Connections to a new database on each cluster, dropped when the file ends. @param encoding default UTF8 */
export async function openSides(encodings: { source?: string; target?: string } = {}): Promise<Sides> {
  const { provider, subscriber } = await pair();
  const open = async (cluster: typeof provider, encoding: string) => {
    const name = `s${Deno.pid}_${crypto.randomUUID().slice(0, 8)}`;
    await cluster.sql(
      "postgres",
      `create database ${name} encoding '${encoding}' template template0 lc_collate 'C' lc_ctype 'C'`,
    );
    afterAll(() => cluster.dropDatabase(name));
    return await WireConnection.connect(parseTarget(cluster.dsn(name)));
  };
  const sides = new Sides(
    await open(provider, encodings.source ?? "UTF8"),
    await open(subscriber, encodings.target ?? "UTF8"),
  );
  afterAll(() => sides.close());
  return sides;
}
