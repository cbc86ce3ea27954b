/** Schema skyq: what the originals have no table for, and the capture functions written per table. */
import type { SqlSchema } from "../schema.ts";
import tables from "./tables.sql" with { type: "text" };
import grants from "./grants.sql" with { type: "text" };
import pgqUrlencode from "../pgq/triggers/urlencode.sql" with { type: "text" };
import quoted from "./functions/_quoted.sql" with { type: "text" };
import nameList from "./functions/_name_list.sql" with { type: "text" };
import baseType from "./functions/_base_type.sql" with { type: "text" };
import keyColumns from "./functions/_key_columns.sql" with { type: "text" };
import captureArgs from "./functions/_capture_args.sql" with { type: "text" };
import shape from "./functions/_shape.sql" with { type: "text" };
import shapeHolds from "./functions/_shape_holds.sql" with { type: "text" };
import rowText from "./functions/_row_text.sql" with { type: "text" };
import captureParts from "./functions/_capture_parts.sql" with { type: "text" };
import rowExpression from "./functions/_row_expression.sql" with { type: "text" };
import rowColumns from "./functions/_row_columns.sql" with { type: "text" };
import queueSlot from "./functions/_queue_slot.sql" with { type: "text" };
import equality from "./functions/_equality.sql" with { type: "text" };
import changeExpression from "./functions/_change_expression.sql" with { type: "text" };
import keyRefusal from "./functions/_key_refusal.sql" with { type: "text" };
import changeSql from "./functions/_change_sql.sql" with { type: "text" };
import rowCaptureBody from "./functions/_row_capture_body.sql" with { type: "text" };
import statementHazard from "./functions/_statement_hazard.sql" with { type: "text" };
import statementCaptureBody from "./functions/_statement_capture_body.sql" with { type: "text" };
import queueTriggers from "./functions/_queue_triggers.sql" with { type: "text" };
import textSettings from "./functions/_text_settings.sql" with { type: "text" };
import triggerName from "./functions/_trigger_name.sql" with { type: "text" };
import setTriggers from "./functions/_set_triggers.sql" with { type: "text" };
import writeCapture from "./functions/_write_capture.sql" with { type: "text" };
import forgetCapture from "./functions/_forget_capture.sql" with { type: "text" };
import rewriteCaptures from "./functions/_rewrite_captures.sql" with { type: "text" };
import createCapture from "./functions/create_capture.sql" with { type: "text" };
import refreshCapture from "./functions/refresh_capture.sql" with { type: "text" };
import dropCapture from "./functions/drop_capture.sql" with { type: "text" };
import checkCapture from "./functions/check_capture.sql" with { type: "text" };
import clusterChanged from "./functions/cluster_changed.sql" with { type: "text" };
import transactionIdsBehind from "./functions/transaction_ids_behind.sql" with { type: "text" };
import mendTransactionIds from "./functions/mend_transaction_ids.sql" with { type: "text" };
import queueSize from "./functions/queue_size.sql" with { type: "text" };
import rotationHolders from "./functions/rotation_holders.sql" with { type: "text" };
import dropConsumer from "./functions/_drop_consumer.sql" with { type: "text" };
import maintQueuePolicy from "./functions/maint_queue_policy.sql" with { type: "text" };
import setQueuePolicy from "./functions/set_queue_policy.sql" with { type: "text" };
import eventFailed from "./functions/event_failed.sql" with { type: "text" };
import failedEventRetry from "./functions/failed_event_retry.sql" with { type: "text" };
import failedEventDrop from "./functions/failed_event_drop.sql" with { type: "text" };
import failedEventsAndPolicies from "./migrations/0001_failed_events_and_policies.sql" with { type: "text" };
import upgrades from "./migrations/0002_upgrades.sql" with { type: "text" };
import quarantine from "./migrations/0004_quarantine.sql" with { type: "text" };
import fenceWorker from "./functions/fence_worker.sql" with { type: "text" };
import copyInChunks from "./migrations/0003_copy_in_chunks.sql" with { type: "text" };
import pendingTriggers from "./functions/pending_triggers.sql" with { type: "text" };

export const skyq: SqlSchema = {
  name: "skyq",
  landmark: "skyq.capture",
  tables,
  functions: [
    // Our own copy: where the original extension brings schema pgq, it has no such function.
    pgqUrlencode.replaceAll("pgq._urlencode", "skyq._urlencode"),
    // what a table is like
    quoted,
    nameList,
    baseType,
    keyColumns,
    captureArgs,
    shape,
    shapeHolds,
    // what its capture function is made of
    queueSlot,
    rowColumns,
    rowText,
    rowExpression,
    textSettings,
    captureParts,
    equality,
    changeExpression,
    keyRefusal,
    changeSql,
    rowCaptureBody,
    statementHazard,
    statementCaptureBody,
    // triggers
    queueTriggers,
    triggerName,
    setTriggers,
    // captures
    writeCapture,
    forgetCapture,
    createCapture,
    refreshCapture,
    dropCapture,
    checkCapture,
    rewriteCaptures,
    pendingTriggers,
    // pairs of Londiste that were taken over
    fenceWorker,
    // limits of queues
    queueSize,
    rotationHolders,
    dropConsumer,
    maintQueuePolicy,
    setQueuePolicy,
    // a dump restored into another cluster
    clusterChanged,
    transactionIdsBehind,
    mendTransactionIds,
    // dead letters
    eventFailed,
    failedEventRetry,
    failedEventDrop,
  ],
  grants,
  migrations: [
    { id: 1, sql: failedEventsAndPolicies },
    { id: 2, sql: upgrades },
    { id: 3, sql: copyInChunks, locks: ["skyq.copy_state"] },
    { id: 4, sql: quarantine },
  ],
  alterations: [{
    // functions/_queue_slot.sql
    table: "pgq.queue",
    isDue: `exists (select from pg_class c
                     where c.oid = to_regclass('pgq.queue') and pg_has_role(c.relowner, 'USAGE')
                       and not exists (select from pg_extension e where e.extname = 'pgq')
                       and not exists (select from pg_trigger t
                                        where t.tgrelid = c.oid and t.tgname = 'skyq_queue_slot'))`,
  }],
};
