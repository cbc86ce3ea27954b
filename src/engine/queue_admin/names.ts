// What has to be there before anything can be done to it.

import { SkyqError } from "../../base/errors.ts";
import { didYouMean } from "../../base/nearest.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { type ConsumerState, consumerStates, queueInfo } from "../../queue/pgq.ts";
import { hasSkyq } from "../../queue/skyq.ts";

/** @throws {SkyqError} `not-installed` when the database has no queues at all */
export async function requirePgq(db: Queryable): Promise<void> {
  const { there } = await one<{ there: boolean }>(db, "select to_regclass('pgq.queue') is not null as there");
  if (there) return;
  throw new SkyqError("not-installed", "Cannot look at queues: the database has no schema pgq", {
    hint: "Run `skyq queue install` first, or name another database.",
  });
}

/** @throws {SkyqError} `not-installed` where limits and dead letters are needed and schema skyq is missing or old */
export async function requireSkyq(db: Queryable): Promise<void> {
  if (await hasSkyq(db)) return;
  throw new SkyqError(
    "not-installed",
    "Cannot use limits and dead letters: schema skyq is missing, older or closed to this role",
    {
      hint: "Run `skyq queue upgrade`, which leaves the queues as they are; the role has to be a member of pgq_admin.",
    },
  );
}

/** @throws {SkyqError} `not-found` with the nearest name */
export async function requireQueue(db: Queryable, queue: string): Promise<void> {
  const names = (await queueInfo(db, null)).map((row) => row.queue_name);
  if (names.includes(queue)) return;
  const hint = didYouMean(queue, names) ??
    (names.length === 0 ? "There are no queues." : `There are: ${names.join(", ")}.`);
  throw new SkyqError("not-found", `Cannot find queue "${queue}": no such queue`, { hint });
}

/** @throws {SkyqError} `not-found` with the nearest name */
export async function requireConsumer(db: Queryable, queue: string, consumer: string): Promise<ConsumerState> {
  await requireQueue(db, queue);
  const all = await consumerStates(db, queue);
  const found = all.find((row) => row.consumer_name === consumer);
  if (found !== undefined) return found;
  const names = all.map((row) => row.consumer_name);
  throw new SkyqError("not-found", `Cannot find consumer "${consumer}" of queue "${queue}": it is not registered`, {
    hint: didYouMean(consumer, names) ??
      (names.length === 0 ? "The queue has no consumers." : `There are: ${names.join(", ")}.`),
  });
}
