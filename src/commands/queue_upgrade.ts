import { defineCommand } from "../cli/command.ts";
import { installSchemas } from "../db/install.ts";
import { withQueues } from "./_database.ts";

export const queueUpgrade = defineCommand({
  name: "queue upgrade",
  summary: "Bring the schemas of a database with queues up to this version",
  details: "Daemons and applications may go on meanwhile. A schema pgq that CREATE EXTENSION made is left as it is; " +
    "what skyq adds is installed beside it.",
  examples: ["skyq queue upgrade ticker.ini"],
  config: "database",
  options: { json: { kind: "flag", help: "one JSON object per line" } },
  async run(ctx, options) {
    const { schemas } = await withQueues(ctx, (db) => installSchemas(db, { log: ctx.log }));
    ctx.out.table(["name", "state", "migrations"], schemas, options);
  },
});
