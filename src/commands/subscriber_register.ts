import { defineCommand } from "../cli/command.ts";
import { registerSubscriber } from "../engine/nodes/registration.ts";
import { withPair } from "./_pair.ts";
import { subscriberTarget } from "./_targets.ts";

export const subscriberRegister = defineCommand({
  name: "subscriber register",
  summary: "Register the subscriber on the provider's queue again, after unregister",
  details: "It has missed what was written meanwhile, so its tables are copied again.",
  examples: ["skyq subscriber register conf.ini"],
  config: "pair",
  run(ctx) {
    const worker = ctx.config.need("pgq_consumer_id");
    const location = subscriberTarget(ctx.config).redacted;
    return withPair(ctx, (pair, queue) => registerSubscriber(pair, queue, { worker, location }, ctx.log));
  },
});
