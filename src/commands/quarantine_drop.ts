import { defineCommand } from "../cli/command.ts";
import { requireLeaf } from "../engine/nodes/node.ts";
import { chosenEvents, dropEvents, requireQuarantine } from "../engine/replay/retry.ts";
import { withSubscriber } from "./_pair.ts";
import { chosen, CHOSEN_ARG } from "./_quarantine.ts";

export const quarantineDrop = defineCommand({
  name: "quarantine drop",
  summary: "Forget events in quarantine",
  details:
    "The subscriber lacks their changes for good: mend the rows by hand, with `skyq repair`, or copy the table " +
    "anew with `skyq subscriber resync` (which empties quarantine of it by itself). Later events of a key are applied " +
    "again once none of it is left in quarantine.",
  examples: ["skyq quarantine drop conf.ini 815 816", "skyq quarantine drop conf.ini audit.log"],
  config: "subscriber",
  args: CHOSEN_ARG,
  options: { all: { kind: "flag", help: "everything in quarantine" } },
  run(ctx, options, words) {
    const choice = chosen(words, options.all, "drop");
    return withSubscriber(ctx, async (db, queue) => {
      await requireLeaf(db, queue);
      await requireQuarantine(db);
      const count = await db.transaction(async (tx) =>
        await dropEvents(tx, queue, await chosenEvents(tx, queue, choice))
      );
      ctx.log.info(`${count} event(s) were forgotten`);
    });
  },
});
