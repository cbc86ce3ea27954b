import { listFkeys } from "../engine/nodes/dependents.ts";
import { defineDependents } from "./_dependents.ts";

export const subscriberFkeys = defineDependents({
  noun: "fkeys",
  summary: "List foreign keys of the subscribed tables: there, or dropped until both ends are in sync",
  columns: ["from_table", "to_table", "fkey_name", "fkey_def"],
  list: listFkeys,
});
