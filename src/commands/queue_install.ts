import { defineCommand } from "../cli/command.ts";
import { installSchemas, QUEUE_SCHEMAS } from "../db/install.ts";
import { withDatabase } from "./_database.ts";

export const queueInstall = defineCommand({
  name: "queue install",
  summary: "Prepare a database for queues: schemas and roles",
  details: "A config whose section has just db = … is enough. Needs the right to create schemas in the database, " +
    "nothing more. Besides pgq there are pgq_coop (workers that share a consumer) and pgq_ext (positions of consumers " +
    "that write into this database). One transaction; running it again brings the functions up to this version and changes nothing else.",
  examples: ["skyq queue install ticker.ini"],
  config: "database",
  async run(ctx) {
    await withDatabase(ctx, (db) => installSchemas(db, { log: ctx.log, schemas: QUEUE_SCHEMAS }));
  },
});
