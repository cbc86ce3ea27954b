/** Schema pgq_node, compatible with pgq_node 3.5: queues that are copied from node to node. */
import type { SqlSchema } from "../schema.ts";
import tables from "./tables.sql" with { type: "text" };
import grants from "./grants.sql" with { type: "text" };
import version from "./functions/version.sql" with { type: "text" };
import nodeType from "./functions/_node_type.sql" with { type: "text" };
import isRootNode from "./functions/is_root_node.sql" with { type: "text" };
import isLeafNode from "./functions/is_leaf_node.sql" with { type: "text" };
import upgradeSchema from "./functions/upgrade_schema.sql" with { type: "text" };
import registerLocation from "./functions/register_location.sql" with { type: "text" };
import unregisterLocation from "./functions/unregister_location.sql" with { type: "text" };
import getQueueLocations from "./functions/get_queue_locations.sql" with { type: "text" };
import createNode from "./functions/create_node.sql" with { type: "text" };
import dropNode from "./functions/drop_node.sql" with { type: "text" };
import setNodeAttrs from "./functions/set_node_attrs.sql" with { type: "text" };
import demoteRoot from "./functions/demote_root.sql" with { type: "text" };
import promoteBranch from "./functions/promote_branch.sql" with { type: "text" };
import localWatermark from "./functions/_local_watermark.sql" with { type: "text" };
import getNodeInfo from "./functions/get_node_info.sql" with { type: "text" };
import getWorkerState from "./functions/get_worker_state.sql" with { type: "text" };
import getConsumerState from "./functions/get_consumer_state.sql" with { type: "text" };
import getConsumerInfo from "./functions/get_consumer_info.sql" with { type: "text" };
import getSubscriberInfo from "./functions/get_subscriber_info.sql" with { type: "text" };
import registerSubscriber from "./functions/register_subscriber.sql" with { type: "text" };
import unregisterSubscriber from "./functions/unregister_subscriber.sql" with { type: "text" };
import registerConsumer from "./functions/register_consumer.sql" with { type: "text" };
import unregisterConsumer from "./functions/unregister_consumer.sql" with { type: "text" };
import changeConsumerProvider from "./functions/change_consumer_provider.sql" with { type: "text" };
import setConsumerUptodate from "./functions/set_consumer_uptodate.sql" with { type: "text" };
import setConsumerPaused from "./functions/set_consumer_paused.sql" with { type: "text" };
import setConsumerCompleted from "./functions/set_consumer_completed.sql" with { type: "text" };
import setConsumerError from "./functions/set_consumer_error.sql" with { type: "text" };
import setSubscriberWatermark from "./functions/set_subscriber_watermark.sql" with { type: "text" };
import setGlobalWatermark from "./functions/set_global_watermark.sql" with { type: "text" };
import setPartitionWatermark from "./functions/set_partition_watermark.sql" with { type: "text" };
import maintWatermark from "./functions/maint_watermark.sql" with { type: "text" };

export const pgqNode: SqlSchema = {
  name: "pgq_node",
  extension: "pgq_node",
  landmark: "pgq_node.node_info",
  tables,
  functions: [
    // what this node is
    version,
    nodeType,
    isRootNode,
    isLeafNode,
    upgradeSchema,
    // locations
    registerLocation,
    unregisterLocation,
    getQueueLocations,
    // nodes
    createNode,
    dropNode,
    setNodeAttrs,
    demoteRoot,
    promoteBranch,
    // state
    localWatermark,
    getNodeInfo,
    getWorkerState,
    getConsumerState,
    getConsumerInfo,
    getSubscriberInfo,
    // subscribers, on the provider
    registerSubscriber,
    unregisterSubscriber,
    // consumers, on the target
    registerConsumer,
    unregisterConsumer,
    changeConsumerProvider,
    setConsumerUptodate,
    setConsumerPaused,
    setConsumerCompleted,
    setConsumerError,
    // watermarks
    setSubscriberWatermark,
    setGlobalWatermark,
    setPartitionWatermark,
    maintWatermark,
  ],
  grants,
  migrations: [],
};
