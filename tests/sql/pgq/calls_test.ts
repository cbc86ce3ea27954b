import { afterAll, beforeAll, describe, expect, it } from "vitest";
import calls from "../../vectors/calls.json" with { type: "json" };
import { Cluster } from "../../harness/cluster.ts";
import { LentDatabase } from "../../harness/pair.ts";
import { QueueDatabase, serverMessage } from "./database.ts";

/** What a statement gave: rows as text, or an error, and warnings. */
interface Answer {
  rows?: (string | null)[][];
  error?: string;
  warnings?: string[];
}

/**
 * A statement and what the original extensions answered on PostgreSQL 15. A list is one session, in a database where
 * nothing was done before.
 */
interface Call extends Answer {
  sql: string;
}

/** Where skyq says more than the original. */
const BETTER: Record<string, { instead: string; answer: string }> = {
  "select pgq.next_batch('t', 'c')": {
    instead: text({ error: "PgQ corruption: Consumer c on queue t does not see tick <NULL>" }),
    answer: text({ error: "PgQ corruption: Consumer c on queue t does not see tick 20" }),
  },
  "select * from pgq_node.set_subscriber_watermark('nq','n2',2)": {
    instead: text({ rows: [["404", "node n2 not subscribed to queue "]] }),
    answer: text({ rows: [["404", "node n2 not subscribed to queue nq"]] }),
  },
  "select * from pgq_node.set_subscriber_watermark('q','n9',2)": {
    instead: text({ rows: [["404", "node n9 not subscribed to queue "]] }),
    answer: text({ rows: [["404", "node n9 not subscribed to queue q"]] }),
  },
};

describe("the calls of the original", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    // As when they were recorded: with autovacuum, maintenance has nothing to vacuum.
    cluster = await Cluster.start({ name: "calls", settings: { autovacuum: "off" } });
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  for (const [name, list] of Object.entries(calls as Record<string, Call[]>)) {
    it(`${name}: all ${list.length} are answered as recorded`, async () => {
      await cluster.createDatabase(name);
      const db = await QueueDatabase.create(new LentDatabase(cluster, name));
      await (await db.session("caller")).exec("set timezone = 'UTC'");
      const differences: unknown[] = [];
      for (const call of list) {
        const wanted = BETTER[call.sql]?.instead === text(call) ? BETTER[call.sql]!.answer : text(call);
        const answer = text(await ask(db, call.sql));
        if (answer !== wanted) differences.push({ sql: call.sql, answer, wanted });
      }
      await db.close();
      expect(differences).toEqual([]);
    });
  }
});

async function ask(db: QueueDatabase, sql: string): Promise<Answer> {
  db.warnings.length = 0;
  const answer: Answer = await (await db.session("caller")).query(sql).then(
    (rows) => ({ rows: rows.map((row) => Object.values(row).map((value) => value === null ? null : String(value))) }),
    (error) => ({ error: serverMessage(error) }),
  );
  return db.warnings.length === 0 ? answer : { ...answer, warnings: [...db.warnings] };
}

/** An answer as one line. */
function text({ rows, error, warnings }: Answer): string {
  return JSON.stringify(error === undefined ? { rows, warnings } : { error, warnings });
}
