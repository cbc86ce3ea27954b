import { defineCommand } from "../cli/command.ts";
import { installSubscriber } from "../engine/nodes/pair.ts";
import { withPair } from "./_pair.ts";
import { subscriberTarget } from "./_targets.ts";

export const subscriberInstall = defineCommand({
  name: "subscriber install",
  summary: "Prepare the subscriber: schemas, leaf node, its consumer on the provider",
  details: "The provider must be installed. Running it again brings the functions up to this version and changes " +
    "nothing else.",
  examples: ["skyq subscriber install conf.ini"],
  config: "pair",
  run(ctx) {
    const location = subscriberTarget(ctx.config).redacted;
    return withPair(ctx, (dbs, queue) =>
      installSubscriber(
        dbs,
        { queue, node: ctx.config.jobName, worker: ctx.config.need("pgq_consumer_id"), location },
        ctx.log,
      ));
  },
});
