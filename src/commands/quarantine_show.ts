import { defineCommand } from "../cli/command.ts";
import { requireLeaf } from "../engine/nodes/node.ts";
import { chosenEvents, requireQuarantine } from "../engine/replay/retry.ts";
import { CHOSEN_ARG } from "./_quarantine.ts";
import { JSON_OPTION } from "./_database.ts";
import { withSubscriber } from "./_pair.ts";

export const quarantineShow = defineCommand({
  name: "quarantine show",
  summary: "Show events in quarantine with all their fields",
  examples: ["skyq quarantine show conf.ini 815", "skyq quarantine show conf.ini orders --json"],
  config: "subscriber",
  args: { ...CHOSEN_ARG, required: true },
  options: { json: JSON_OPTION },
  run(ctx, options, words) {
    return withSubscriber(ctx, async (db, queue) => {
      await requireLeaf(db, queue);
      await requireQuarantine(db);
      let isFirst = true;
      for (const event of await chosenEvents(db, queue, { words, all: false })) {
        if (options.json) {
          ctx.out.json(event);
          continue;
        }
        if (!isFirst) ctx.out.line("");
        isFirst = false;
        for (const [name, value] of Object.entries(event)) ctx.out.line(`${name.padEnd(14)}  ${value ?? "-"}`);
      }
    });
  },
});
