import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { restorePendingFkeys } from "../engine/nodes/dependents.ts";
import { withSubscriber } from "./_pair.ts";

export const subscriberRestoreFkeys = defineCommand({
  name: "subscriber restore-fkeys",
  summary: "Make pending foreign keys again now; the replay does it by itself once both ends are in sync",
  details: "A key that the rows violate stays pending; the rows are named.",
  examples: ["skyq subscriber restore-fkeys conf.ini", "skyq subscriber restore-fkeys conf.ini order_lines"],
  config: "subscriber",
  args: { name: "TABLE", many: true, help: "subscribed table or glob; none: all" },
  async run(ctx, _options, names) {
    const isDone = await withSubscriber(ctx, (db, queue) => restorePendingFkeys(db, queue, names, ctx.log));
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
