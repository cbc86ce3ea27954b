import { defineCommand } from "../cli/command.ts";
import { installProvider } from "../engine/nodes/pair.ts";
import { withProvider } from "./_pair.ts";
import { providerTarget } from "./_targets.ts";

export const providerInstall = defineCommand({
  name: "provider install",
  summary: "Prepare the provider: schemas, queue and root node",
  details:
    "Needs the right to create schemas in the database; tables need more when they are added (README, Rights). One " +
    "transaction; running it again brings the functions up to this version and changes nothing else.",
  examples: ["skyq provider install conf.ini"],
  config: "provider",
  run(ctx) {
    const location = providerTarget(ctx.config).redacted;
    const node = ctx.config.need("provider_node");
    return withProvider(ctx, (db, queue) => installProvider(db, { queue, node, location }, ctx.log));
  },
});
