import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { requireLeaf } from "../engine/nodes/node.ts";
import { openSubscriber } from "../engine/replay/connections.ts";
import { chosenEvents, requireQuarantine, retryEvents, shownKey } from "../engine/replay/retry.ts";
import { subscriberTarget, toMs } from "./_targets.ts";
import { chosen, CHOSEN_ARG } from "./_quarantine.ts";

export const quarantineRetry = defineCommand({
  name: "quarantine retry",
  summary: "Apply events from quarantine after all, once their cause is gone",
  details: "Key by key, each in a transaction of its own, always with all events of the key: what they come to is " +
    "applied, and the row is as the provider has it. Beside a running replay; a batch in hand is waited for under " +
    "lock_timeout. Exit status 1 when something is refused still: it stays, with the new reason.",
  examples: [
    "skyq quarantine retry conf.ini 815",
    "skyq quarantine retry conf.ini orders 'audit.*'",
    "skyq quarantine retry conf.ini --all",
  ],
  config: "subscriber",
  args: CHOSEN_ARG,
  options: {
    all: { kind: "flag", help: "everything in quarantine" },
    json: { kind: "flag", help: "one JSON object per key on stdout" },
  },
  async run(ctx, options, words) {
    const { config, log, out } = ctx;
    const choice = chosen(words, options.all, "retry");
    const queue = config.need("pgq_queue_name");
    const { connection: db } = await openSubscriber(subscriberTarget(config), {
      applicationName: `skyq ${ctx.commandName}`,
      signal: ctx.signal,
      lockTimeoutMs: toMs(config.get("lock_timeout")),
    });
    try {
      await requireLeaf(db, queue);
      await requireQuarantine(db);
      const events = await chosenEvents(db, queue, choice);
      if (events.length === 0) {
        log.info("Nothing is in quarantine");
        return EXIT.ok;
      }
      const isDone = await retryEvents(db, queue, events, (result) => {
        const what = `${result.table}${shownKey(result.key)}`;
        if (result.error === null) log.info(`${what}: ${result.events.length} event(s) applied`);
        else log.error(`${what}: ${result.error}`);
        if (options.json) out.json(result);
      });
      return isDone ? EXIT.ok : EXIT.failed;
    } finally {
      await db.close();
    }
  },
});
