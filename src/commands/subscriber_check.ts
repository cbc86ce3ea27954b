import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { checkSubscriber } from "../engine/nodes/check.ts";
import { withPair } from "./_pair.ts";

export const subscriberCheck = defineCommand({
  name: "subscriber check",
  summary: "Compare the structure of the provider's tables with the subscriber's",
  details:
    "Columns, their types, nullability, generation, identity and collation, keys, what is unique or constrained " +
    "on the subscriber only, triggers that fire for replayed rows, rights, captures. Changes nothing. Exit status 3 " +
    "when there is a difference that keeps a table from being replicated (ERROR), 1 when a name is unknown.",
  examples: ["skyq subscriber check conf.ini", "skyq subscriber check conf.ini orders --json"],
  config: "pair",
  args: { name: "TABLE", many: true, help: "registered table or glob; none: all, and the sequences" },
  options: {
    all: { kind: "flag", help: "all tables, as without names" },
    json: { kind: "flag", help: "one JSON object per difference on stdout" },
  },
  async run(ctx, options, names) {
    const verdict = await withPair(ctx, (pair, queue) =>
      checkSubscriber(pair, queue, {
        names,
        log: ctx.log,
        onFinding: (table, { level, text }) => {
          if (options.json) ctx.out.json({ table, level, text });
        },
      }));
    return { sound: EXIT.ok, unsound: EXIT.differences, "unknown name": EXIT.failed }[verdict];
  },
});
