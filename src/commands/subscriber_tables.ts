import { defineCommand } from "../cli/command.ts";
import { subscriberTables as listTables } from "../engine/nodes/tables.ts";
import { withSubscriber } from "./_pair.ts";

export const subscriberTables = defineCommand({
  name: "subscriber tables",
  summary: "Show the state of every subscribed table",
  details: "States: NEW (not copied yet), in-copy, catching-up, wanna-sync, do-sync (the hand-over), ok (replayed). " +
    "A table whose copy fails shows the reason.",
  examples: ["skyq subscriber tables conf.ini", "skyq subscriber tables conf.ini --json"],
  config: "subscriber",
  options: { json: { kind: "flag", help: "one JSON object per line" } },
  run(ctx, options) {
    return withSubscriber(ctx, async (db, queue) => {
      const rows = await listTables(db, queue);
      if (options.json) {
        for (const row of rows) ctx.out.json({ ...row, state: row.state ?? "NEW" });
        return;
      }
      const line = (table: string, state: string, error: string | null) =>
        ctx.out.line(`${table.padEnd(30)}   ${state.padStart(20)}${error === null ? "" : `   ${error}`}`);
      line("Table", "State", null);
      for (const row of rows) line(row.table, row.state ?? "NEW", row.error);
    });
  },
});
