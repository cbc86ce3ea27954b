/** Everything that skyq puts into a database, in the order of installation. */
import { londiste } from "./londiste/mod.ts";
import { pgq } from "./pgq/mod.ts";
import { pgqNode } from "./pgq_node/mod.ts";
import type { SqlSchema } from "./schema.ts";
import { skyq } from "./skyq/mod.ts";

export type { Migration, SqlSchema } from "./schema.ts";

export const SCHEMAS: readonly SqlSchema[] = [pgq, pgqNode, londiste, skyq];
