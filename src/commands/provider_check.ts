import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { checkProvider } from "../engine/nodes/check.ts";
import { withProvider } from "./_pair.ts";

export const providerCheck = defineCommand({
  name: "provider check",
  summary: "Look for what keeps registered tables and sequences from being captured",
  details: "Tables that are gone, without key, unlogged or hidden by row-level security; captures that are gone, " +
    "disabled or out of date; triggers that run before the capture; rights. Changes nothing. Exit status 3 when there " +
    "is an ERROR, 1 when a name is unknown.",
  examples: ["skyq provider check conf.ini", "skyq provider check conf.ini 'app.*' --json"],
  config: "provider",
  args: { name: "TABLE", many: true, help: "registered table or glob; none: all, and the sequences" },
  options: { json: { kind: "flag", help: "one JSON object per finding on stdout" } },
  async run(ctx, options, names) {
    const verdict = await withProvider(ctx, (db, queue) =>
      checkProvider(db, queue, {
        names,
        log: ctx.log,
        onFinding: (table, { level, text }) => {
          if (options.json) ctx.out.json({ table, level, text });
        },
      }));
    return { sound: EXIT.ok, unsound: EXIT.differences, "unknown name": EXIT.failed }[verdict];
  },
});
