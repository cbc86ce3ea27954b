import { defineCommand } from "../cli/command.ts";
import type { Queryable } from "../db/queryable.ts";
import { formatBytes } from "../base/units.ts";
import { subscriberTables as listTables, type TableState } from "../engine/nodes/tables.ts";
import { getConsumerState, getNodeInfo } from "../queue/pgq_node.ts";
import { withSubscriber } from "./_pair.ts";

export const subscriberTables = defineCommand({
  name: "subscriber tables",
  summary: "Show the state of every subscribed table",
  details: "States: NEW (not copied yet), in-copy, catching-up, wanna-sync, do-sync (the hand-over), ok (replayed). " +
    "A table that is being copied in chunks shows how many of them are loaded, with their rows and size; one whose copy " +
    "fails, or that is paused because its structure does not fit, shows the reason; so does one that is set-aside after a " +
    "row was refused, until `subscriber resync`. Why the replay failed last stands below the tables until it goes on " +
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
      const line = (table: string, state: string, ...more: readonly (string | null)[]) =>
        ctx.out.line([table.padEnd(30), state.padStart(20), ...more.filter((text) => text !== null)].join("   "));
      line("Table", "State");
      for (const row of rows) line(row.table, row.state ?? "NEW", progressOf(row), row.error);
      if (replayError !== null) ctx.out.line(`\nLast error of the replay: ${replayError}`);
    });
  },
});

/** How far a copy in chunks is, null for any other table. */
function progressOf({ state, chunks, chunks_loaded: loaded, rows, bytes }: TableState): string | null {
  if (state === null || state === "ok" || chunks === null) return null;
  return `${loaded}/${chunks} chunks, ${rows} rows, ${formatBytes(bytes ?? 0n)}`;
}

/** Why the replay stands still, null once it has applied a batch again. */
async function lastReplayError(db: Queryable, queue: string): Promise<string | null> {
  const node = await getNodeInfo(db, queue);
  if (node === null) return null;
  return (await getConsumerState(db, queue, node.worker_name))?.cur_error ?? null;
}
