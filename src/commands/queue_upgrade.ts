import { defineCommand } from "../cli/command.ts";
import { upgradeQueues } from "../db/pgq_2_1.ts";
import { requireAnyPgq } from "../engine/queue_admin/names.ts";
import { withDatabase } from "./_database.ts";

export const queueUpgrade = defineCommand({
  name: "queue upgrade",
  summary: "Bring the schemas of a database with queues up to this version",
  details: "Daemons and applications may go on meanwhile. A schema pgq that CREATE EXTENSION made is left as it is; " +
    "what skyq adds is installed beside it. One of PgQ 2.1 becomes 3.5, with its queues, consumers and events; writers " +
    "wait for a second or two, and daemons of 2.1 go on. A pair of Londiste 2.1 is taken over by `skyq upgrade`.",
  examples: ["skyq queue upgrade ticker.ini"],
  config: "database",
  options: { json: { kind: "flag", help: "one JSON object per line" } },
  async run(ctx, options) {
    const { schemas } = await withDatabase(ctx, async (db) => {
      await requireAnyPgq(db);
      return await upgradeQueues(db, ctx.log);
    });
    ctx.out.table(["name", "state", "migrations"], schemas, options);
  },
});
