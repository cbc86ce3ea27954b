/** Schema pgq_coop, compatible with pgq_coop 3.1.1: several workers share one consumer's position. It has no tables. */
import type { SqlSchema } from "../schema.ts";
import grants from "./grants.sql" with { type: "text" };
import version from "./functions/version.sql" with { type: "text" };
import subscriptions from "./functions/_subscriptions.sql" with { type: "text" };
import dropWorker from "./functions/_drop_worker.sql" with { type: "text" };
import registerSubconsumer from "./functions/register_subconsumer.sql" with { type: "text" };
import unregisterSubconsumer from "./functions/unregister_subconsumer.sql" with { type: "text" };
import nextBatchCustom from "./functions/next_batch_custom.sql" with { type: "text" };
import nextBatch from "./functions/next_batch.sql" with { type: "text" };
import finishBatch from "./functions/finish_batch.sql" with { type: "text" };

export const pgqCoop: SqlSchema = {
  name: "pgq_coop",
  extension: "pgq_coop",
  landmark: "pgq_coop.finish_batch(int8)",
  tables: "",
  functions: [
    version,
    subscriptions,
    dropWorker,
    registerSubconsumer,
    unregisterSubconsumer,
    nextBatchCustom,
    nextBatch,
    finishBatch,
  ],
  grants,
  migrations: [],
};
