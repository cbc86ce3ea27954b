import type { CommandEntry } from "../cli/command.ts";

/**
 * Every command, in the order of the help. Names and summaries stand here so that help and look-up load nothing; each
 * command's modules are read when it is called.
 */
export const COMMANDS: readonly CommandEntry[] = [
  {
    group: "Provider",
    name: "provider install",
    summary: "Prepare the provider: schemas, queue and root node",
    load: () => import("./provider_install.ts").then((module) => module.providerInstall),
  },
  {
    group: "Provider",
    name: "provider add",
    summary: "Put tables of the provider under replication",
    load: () => import("./provider_add.ts").then((module) => module.providerAdd),
  },
  {
    group: "Provider",
    name: "provider remove",
    summary: "Take tables out of replication, on the subscribers too",
    load: () => import("./provider_remove.ts").then((module) => module.providerRemove),
  },
  {
    group: "Provider",
    name: "provider tables",
    summary: "List the provider's replicated tables",
    load: () => import("./provider_tables.ts").then((module) => module.providerTables),
  },
  {
    group: "Provider",
    name: "provider add-seq",
    summary: "Put sequences of the provider under replication",
    load: () => import("./provider_add_seq.ts").then((module) => module.providerAddSeq),
  },
  {
    group: "Provider",
    name: "provider remove-seq",
    summary: "Take sequences out of replication, on the subscribers too",
    load: () => import("./provider_remove_seq.ts").then((module) => module.providerRemoveSeq),
  },
  {
    group: "Provider",
    name: "provider seqs",
    summary: "List the provider's replicated sequences",
    load: () => import("./provider_seqs.ts").then((module) => module.providerSeqs),
  },
  {
    group: "Subscriber",
    name: "subscriber install",
    summary: "Prepare the subscriber: schemas, leaf node, its consumer on the provider",
    load: () => import("./subscriber_install.ts").then((module) => module.subscriberInstall),
  },
  {
    group: "Subscriber",
    name: "subscriber add",
    summary: "Subscribe tables: the replay copies their rows, then follows every change",
    load: () => import("./subscriber_add.ts").then((module) => module.subscriberAdd),
  },
  {
    group: "Subscriber",
    name: "subscriber remove",
    summary: "End the subscription of tables; their rows stay",
    load: () => import("./subscriber_remove.ts").then((module) => module.subscriberRemove),
  },
  {
    group: "Subscriber",
    name: "subscriber resync",
    summary: "Copy tables anew",
    load: () => import("./subscriber_resync.ts").then((module) => module.subscriberResync),
  },
  {
    group: "Subscriber",
    name: "subscriber tables",
    summary: "Show the state of every subscribed table",
    load: () => import("./subscriber_tables.ts").then((module) => module.subscriberTables),
  },
  {
    group: "Subscriber",
    name: "subscriber missing",
    summary: "List what the provider replicates and this subscriber has not subscribed",
    load: () => import("./subscriber_missing.ts").then((module) => module.subscriberMissing),
  },
  {
    group: "Subscriber",
    name: "subscriber check",
    summary: "Compare the structure of the provider's tables with the subscriber's",
    load: () => import("./subscriber_check.ts").then((module) => module.subscriberCheck),
  },
  {
    group: "Subscriber",
    name: "subscriber add-seq",
    summary: "Subscribe sequences: kept ahead of the provider's, never moved back",
    load: () => import("./subscriber_add_seq.ts").then((module) => module.subscriberAddSeq),
  },
  {
    group: "Subscriber",
    name: "subscriber remove-seq",
    summary: "End the subscription of sequences; their values stay",
    load: () => import("./subscriber_remove_seq.ts").then((module) => module.subscriberRemoveSeq),
  },
  {
    group: "Subscriber",
    name: "subscriber seqs",
    summary: "List the subscriber's subscribed sequences",
    load: () => import("./subscriber_seqs.ts").then((module) => module.subscriberSeqs),
  },
  {
    group: "Subscriber",
    name: "subscriber restore-triggers",
    summary: "Make the triggers again that drop_triggers = 1 took from a table",
    load: () => import("./subscriber_restore_triggers.ts").then((module) => module.subscriberRestoreTriggers),
  },
  {
    group: "Subscriber",
    name: "subscriber fkeys",
    summary: "List foreign keys of the subscribed tables: there, or dropped until both ends are in sync",
    load: () => import("./subscriber_fkeys.ts").then((module) => module.subscriberFkeys),
  },
  {
    group: "Subscriber",
    name: "subscriber triggers",
    summary: "List triggers of the subscribed tables: there, or taken away by drop_triggers = 1",
    load: () => import("./subscriber_triggers.ts").then((module) => module.subscriberTriggers),
  },
  {
    group: "Subscriber",
    name: "subscriber restore-fkeys",
    summary: "Make pending foreign keys again now; the replay does it by itself once both ends are in sync",
    load: () => import("./subscriber_restore_fkeys.ts").then((module) => module.subscriberRestoreFkeys),
  },
  {
    group: "Subscriber",
    name: "subscriber register",
    summary: "Register the subscriber's consumer on the provider's queue, which install does as well",
    load: () => import("./subscriber_register.ts").then((module) => module.subscriberRegister),
  },
  {
    group: "Subscriber",
    name: "subscriber unregister",
    summary: "Take the subscriber's consumer off the provider's queue; all its tables need a copy afterwards",
    load: () => import("./subscriber_unregister.ts").then((module) => module.subscriberUnregister),
  },
  {
    group: "Replication",
    name: "replay",
    summary: "Replay the provider's changes on the subscriber, and copy newly added tables",
    load: () => import("./replay.ts").then((module) => module.replay),
  },
  {
    group: "Replication",
    name: "ticker",
    summary: "Cut the queues of a database, or of a whole cluster, into batches and maintain them",
    load: () => import("./ticker.ts").then((module) => module.ticker),
  },
  {
    group: "Config",
    name: "config show",
    summary: "Print every config value as it is understood, and where it came from",
    load: () => import("./config_show.ts").then((module) => module.configShow),
  },
];
