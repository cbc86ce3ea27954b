// What `failed drop` and `failed retry` have in common.

import { SkyqError } from "../base/errors.ts";
import { counted } from "../base/units.ts";
import { type Command, defineCommand } from "../cli/command.ts";
import { during } from "../db/errors.ts";
import type { Queryable } from "../db/queryable.ts";
import { requireSkyq } from "../engine/queue_admin/names.ts";
import { failedEvents } from "../queue/skyq.ts";
import {
  CONSUMER_ARG,
  eventIds,
  EVENTS_ARG,
  QUEUE_ARG,
  queueAndConsumer,
  requireEventsOrAll,
  withQueues,
} from "./_database.ts";

/** A command that does something to named dead letters of a consumer, or to all: in one transaction. */
export function defineFailed(spec: {
  /** `drop`: the command's second word. */
  readonly verb: string;
  readonly summary: string;
  readonly details: string;
  /** What the log says that they did: `were forgotten`. */
  readonly done: string;
  /** @returns false when there is no such dead letter */
  act(db: Queryable, queue: string, consumer: string, eventId: bigint): Promise<boolean>;
}): Command {
  const { verb, summary, details } = spec;
  return defineCommand({
    name: `failed ${verb}`,
    summary,
    details,
    examples: [
      `skyq failed ${verb} ticker.ini mail_queue mailer 815 816`,
      `skyq failed ${verb} ticker.ini mail_queue mailer --all`,
    ],
    config: "database",
    args: [QUEUE_ARG, CONSUMER_ARG, EVENTS_ARG],
    options: { all: { kind: "flag", help: "all of this consumer" } },
    run(ctx, options, args) {
      const [queue, consumer, ...words] = queueAndConsumer(args);
      const named = eventIds(words);
      requireEventsOrAll(verb, named, options.all);
      return withQueues(ctx, async (db) => {
        await requireSkyq(db);
        await db.transaction(async (tx) => {
          const ids = options.all ? (await failedEvents(tx, { queue, consumer })).map((event) => event.ev_id) : named;
          for (const id of ids) {
            if (await during(`Cannot ${verb} event ${id}`, spec.act(tx, queue, consumer, id))) continue;
            throw new SkyqError(
              "not-found",
              `Cannot ${verb} event ${id}: consumer "${consumer}" has no such dead letter`,
            );
          }
          ctx.log.info(`${counted(ids.length, "dead letter")} of consumer "${consumer}" ${spec.done}`);
        });
      });
    },
  });
}
