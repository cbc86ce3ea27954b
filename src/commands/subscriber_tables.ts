import { defineCommand } from "../cli/command.ts";
import type { Queryable } from "../db/queryable.ts";
import { subscriberTables as listTables } from "../engine/nodes/tables.ts";
import { getConsumerState, getNodeInfo } from "../queue/pgq_node.ts";
import { withSubscriber } from "./_pair.ts";

export const subscriberTables = defineCommand({
  name: "subscriber tables",
  summary: "Show the state of every subscribed table",
  details: "States: NEW (not copied yet), in-copy, catching-up, wanna-sync, do-sync (the hand-over), ok (replayed). " +
    "A table whose copy fails shows the reason. Why the replay failed last stands below the tables until it goes on " +
    "(with --json: replay_error, in every row).",
  examples: ["skyq subscriber tables conf.ini", "skyq subscriber tables conf.ini --json"],
  config: "subscriber",
  options: { json: { kind: "flag", help: "one JSON object per line" } },
  run(ctx, options) {
    return withSubscriber(ctx, async (db, queue) => {
      const rows = await listTables(db, queue);
      const replayError = await lastReplayError(db, queue);
      if (options.json) {
        for (const row of rows) ctx.out.json({ ...row, state: row.state ?? "NEW", replay_error: replayError });
        return;
      }
      const line = (table: string, state: string, error: string | null) =>
        ctx.out.line(`${table.padEnd(30)}   ${state.padStart(20)}${error === null ? "" : `   ${error}`}`);
      line("Table", "State", null);
      for (const row of rows) line(row.table, row.state ?? "NEW", row.error);
      if (replayError !== null) ctx.out.line(`\nLast error of the replay: ${replayError}`);
    });
  },
});

/** Why the replay stands still, null once it has applied a batch again. */
async function lastReplayError(db: Queryable, queue: string): Promise<string | null> {
  const node = await getNodeInfo(db, queue);
  if (node === null) return null;
  return (await getConsumerState(db, queue, node.worker_name))?.cur_error ?? null;
}
