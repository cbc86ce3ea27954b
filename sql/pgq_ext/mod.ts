/** Schema pgq_ext, compatible with pgq_ext 3.1: where consumers that write into another database keep their position. */
import type { SqlSchema } from "../schema.ts";
import tables from "./tables.sql" with { type: "text" };
import grants from "./grants.sql" with { type: "text" };
import version from "./functions/version.sql" with { type: "text" };
import upgradeSchema from "./functions/upgrade_schema.sql" with { type: "text" };
import isBatchDone from "./functions/is_batch_done.sql" with { type: "text" };
import setBatchDone from "./functions/set_batch_done.sql" with { type: "text" };
import isEventDone from "./functions/is_event_done.sql" with { type: "text" };
import setEventDone from "./functions/set_event_done.sql" with { type: "text" };
import getLastTick from "./functions/get_last_tick.sql" with { type: "text" };
import setLastTick from "./functions/set_last_tick.sql" with { type: "text" };

export const pgqExt: SqlSchema = {
  name: "pgq_ext",
  extension: "pgq_ext",
  landmark: "pgq_ext.completed_tick",
  tables,
  functions: [version, upgradeSchema, isBatchDone, setBatchDone, isEventDone, setEventDone, getLastTick, setLastTick],
  grants,
  migrations: [],
};
