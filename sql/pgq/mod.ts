/** Schema pgq, compatible with PgQ 3.5. Functions are listed by what they are for. */
import type { SqlSchema } from "../schema.ts";
import tables from "./tables.sql" with { type: "text" };
import grants from "./grants.sql" with { type: "text" };
import version from "./functions/version.sql" with { type: "text" };
import quoteFqname from "./functions/quote_fqname.sql" with { type: "text" };
import seqGetval from "./functions/seq_getval.sql" with { type: "text" };
import seqSetval from "./functions/seq_setval.sql" with { type: "text" };
import grantPermsFrom from "./functions/_grant_perms_from.sql" with { type: "text" };
import grantPerms from "./functions/grant_perms.sql" with { type: "text" };
import tuneStorage from "./functions/tune_storage.sql" with { type: "text" };
import createQueue from "./functions/create_queue.sql" with { type: "text" };
import dropQueue from "./functions/drop_queue.sql" with { type: "text" };
import setQueueConfig from "./functions/set_queue_config.sql" with { type: "text" };
import insertEventRaw from "./functions/insert_event_raw.sql" with { type: "text" };
import insertEvent from "./functions/insert_event.sql" with { type: "text" };
import currentEventTable from "./functions/current_event_table.sql" with { type: "text" };
import registerConsumerAt from "./functions/register_consumer_at.sql" with { type: "text" };
import registerConsumer from "./functions/register_consumer.sql" with { type: "text" };
import unregisterConsumer from "./functions/unregister_consumer.sql" with { type: "text" };
import findTickHelper from "./functions/find_tick_helper.sql" with { type: "text" };
import openBatch from "./functions/_open_batch.sql" with { type: "text" };
import nextBatchCustom from "./functions/next_batch_custom.sql" with { type: "text" };
import nextBatchInfo from "./functions/next_batch_info.sql" with { type: "text" };
import nextBatch from "./functions/next_batch.sql" with { type: "text" };
import batchEventTables from "./functions/batch_event_tables.sql" with { type: "text" };
import batchEventSql from "./functions/batch_event_sql.sql" with { type: "text" };
import getBatchEvents from "./functions/get_batch_events.sql" with { type: "text" };
import getBatchCursor from "./functions/get_batch_cursor.sql" with { type: "text" };
import getBatchInfo from "./functions/get_batch_info.sql" with { type: "text" };
import finishBatch from "./functions/finish_batch.sql" with { type: "text" };
import eventRetry from "./functions/event_retry.sql" with { type: "text" };
import batchRetry from "./functions/batch_retry.sql" with { type: "text" };
import eventRetryRaw from "./functions/event_retry_raw.sql" with { type: "text" };
import getQueueInfo from "./functions/get_queue_info.sql" with { type: "text" };
import getConsumerInfo from "./functions/get_consumer_info.sql" with { type: "text" };
import nextTick from "./functions/_next_tick.sql" with { type: "text" };
import ticker from "./functions/ticker.sql" with { type: "text" };
import forceTick from "./functions/force_tick.sql" with { type: "text" };
import maintRotateTablesStep1 from "./functions/maint_rotate_tables_step1.sql" with { type: "text" };
import maintRotateTablesStep2 from "./functions/maint_rotate_tables_step2.sql" with { type: "text" };
import maintRetryEvents from "./functions/maint_retry_events.sql" with { type: "text" };
import maintTablesToVacuum from "./functions/maint_tables_to_vacuum.sql" with { type: "text" };
import maintOperations from "./functions/maint_operations.sql" with { type: "text" };
import batchIndex from "./migrations/0001_batch_index.sql" with { type: "text" };
import upgradeSchema from "./functions/upgrade_schema.sql" with { type: "text" };
import { TRIGGERS } from "./triggers/mod.ts";

export const pgq: SqlSchema = {
  name: "pgq",
  extension: "pgq",
  landmark: "pgq.queue",
  tables,
  functions: [
    // names, sequences
    version,
    quoteFqname,
    seqGetval,
    seqSetval,
    // queues
    grantPermsFrom,
    grantPerms,
    tuneStorage,
    createQueue,
    dropQueue,
    setQueueConfig,
    // producing
    insertEventRaw,
    insertEvent,
    currentEventTable,
    // registration
    registerConsumerAt,
    registerConsumer,
    unregisterConsumer,
    // batches
    findTickHelper,
    openBatch,
    nextBatchCustom,
    nextBatchInfo,
    nextBatch,
    batchEventTables,
    batchEventSql,
    getBatchEvents,
    getBatchCursor,
    getBatchInfo,
    finishBatch,
    // retry
    eventRetry,
    batchRetry,
    eventRetryRaw,
    // information
    getQueueInfo,
    getConsumerInfo,
    // ticks, rotation, maintenance
    nextTick,
    ticker,
    forceTick,
    maintRotateTablesStep1,
    maintRotateTablesStep2,
    maintRetryEvents,
    maintTablesToVacuum,
    maintOperations,
    upgradeSchema,
    ...TRIGGERS,
  ],
  grants,
  migrations: [{ id: 1, sql: batchIndex, locks: ["pgq.subscription"] }],
};
