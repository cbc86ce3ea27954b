/** What skyq puts into databases, in the order of installation. */
import { londiste } from "./londiste/mod.ts";
import { pgq } from "./pgq/mod.ts";
import { pgqCoop } from "./pgq_coop/mod.ts";
import { pgqExt } from "./pgq_ext/mod.ts";
import { pgqNode } from "./pgq_node/mod.ts";
import type { SqlSchema } from "./schema.ts";
import { skyq } from "./skyq/mod.ts";

export type { Migration, SqlSchema } from "./schema.ts";

/** What replication needs. */
export const SCHEMAS: readonly SqlSchema[] = [pgq, pgqNode, londiste, skyq];

/** The same for applications that have queues: with what their consumers may call besides. */
export const QUEUE_SCHEMAS: readonly SqlSchema[] = [pgq, pgqCoop, pgqExt, pgqNode, londiste, skyq];
