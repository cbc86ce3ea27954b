import { defineCommand } from "../cli/command.ts";
import { registerSubscriber } from "../engine/nodes/registration.ts";
import { withPair } from "./_pair.ts";

export const subscriberRegister = defineCommand({
  name: "subscriber register",
  summary: "Register the subscriber's consumer on the provider's queue, which install does as well",
  details: "A consumer that was registered anew begins at the newest tick; its tables are copied again.",
  examples: ["skyq subscriber register conf.ini"],
  config: "pair",
  run(ctx) {
    const worker = ctx.config.need("pgq_consumer_id");
    return withPair(ctx, (pair, queue) => registerSubscriber(pair, queue, worker, ctx.log));
  },
});
