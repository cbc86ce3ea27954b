import { defineCommand } from "../cli/command.ts";
import { unregisterSubscriber } from "../engine/nodes/registration.ts";
import { withPair } from "./_pair.ts";

export const subscriberUnregister = defineCommand({
  name: "subscriber unregister",
  summary: "Take the subscriber's consumer off the provider's queue; all its tables need a copy afterwards",
  details: "The queue keeps no events for it any more. Rows stay. A running replay stops with a message; " +
    "`subscriber register` begins anew.",
  examples: ["skyq subscriber unregister conf.ini"],
  config: "pair",
  run(ctx) {
    const worker = ctx.config.need("pgq_consumer_id");
    return withPair(ctx, (pair, queue) => unregisterSubscriber(pair, queue, worker, ctx.log));
  },
});
