import { defineCommand } from "../cli/command.ts";
import { retireSubscriber, unregisterSubscriber } from "../engine/nodes/registration.ts";
import { withPair, withProvider } from "./_pair.ts";

export const subscriberUnregister = defineCommand({
  name: "subscriber unregister",
  summary: "Retire the subscriber: the provider's queue keeps no events for it any more",
  details:
    "Rows stay. Stop the replay first: one that runs ends with errors. `subscriber register` begins anew, with a " +
    "copy of every table. With --gone only the provider is asked: for a subscriber whose database is lost.",
  examples: ["skyq subscriber unregister conf.ini", "skyq subscriber unregister conf.ini --gone"],
  config: "pair",
  options: { gone: { kind: "flag", help: "leave the subscriber's database alone: it does not exist any more" } },
  run(ctx, options) {
    const worker = ctx.config.need("pgq_consumer_id");
    if (!options.gone) {
      return withPair(ctx, (pair, queue) => unregisterSubscriber(pair, queue, worker, ctx.log));
    }
    return withProvider(
      ctx,
      (provider, queue) => retireSubscriber(provider, queue, { node: ctx.config.jobName, worker }, ctx.log),
    );
  },
});
