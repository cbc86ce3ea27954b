/** Schema londiste, compatible with Londiste 3.8. It needs schemas pgq_node and skyq when its functions run. */
import type { SqlSchema } from "../schema.ts";
import tables from "./tables.sql" with { type: "text" };
import grants from "./grants.sql" with { type: "text" };
import version from "./functions/version.sql" with { type: "text" };
import upgradeSchema from "./functions/upgrade_schema.sql" with { type: "text" };
import names from "./functions/names.sql" with { type: "text" };
import findRelOid from "./functions/find_rel_oid.sql" with { type: "text" };
import findColumnTypes from "./functions/find_column_types.sql" with { type: "text" };
import isReplicaFunc from "./functions/is_replica_func.sql" with { type: "text" };
import rootNotifyChange from "./functions/root_notify_change.sql" with { type: "text" };
import createTrigger from "./functions/create_trigger.sql" with { type: "text" };
import dropTableTriggers from "./functions/drop_table_triggers.sql" with { type: "text" };
import tableInfoTrigger from "./functions/table_info_trigger.sql" with { type: "text" };
import globalAddTable from "./functions/global_add_table.sql" with { type: "text" };
import globalRemoveTable from "./functions/global_remove_table.sql" with { type: "text" };
import localAddTable from "./functions/local_add_table.sql" with { type: "text" };
import localRemoveTable from "./functions/local_remove_table.sql" with { type: "text" };
import localSetTable from "./functions/local_set_table.sql" with { type: "text" };
import localChangeHandler from "./functions/local_change_handler.sql" with { type: "text" };
import getTableList from "./functions/get_table_list.sql" with { type: "text" };
import localShowMissing from "./functions/local_show_missing.sql" with { type: "text" };
import sequences from "./functions/sequences.sql" with { type: "text" };
import fkeys from "./functions/fkeys.sql" with { type: "text" };
import execute from "./functions/execute.sql" with { type: "text" };
import setSessionReplicationRole from "./functions/set_session_replication_role.sql" with { type: "text" };
import partitions from "./functions/partitions.sql" with { type: "text" };
import periodicMaintenance from "./functions/periodic_maintenance.sql" with { type: "text" };

export const londiste: SqlSchema = {
  name: "londiste",
  extension: "londiste",
  landmark: "londiste.table_info",
  tables,
  functions: [
    version,
    upgradeSchema,
    names,
    findRelOid,
    findColumnTypes,
    isReplicaFunc,
    rootNotifyChange,
    createTrigger,
    dropTableTriggers,
    tableInfoTrigger,
    globalAddTable,
    globalRemoveTable,
    localAddTable,
    localRemoveTable,
    localSetTable,
    localChangeHandler,
    getTableList,
    localShowMissing,
    sequences,
    fkeys,
    execute,
    setSessionReplicationRole,
    partitions,
    periodicMaintenance,
  ],
  grants,
  migrations: [],
};
