import { listTriggers } from "../engine/nodes/dependents.ts";
import { defineDependents } from "./_dependents.ts";

export const subscriberTriggers = defineDependents({
  noun: "triggers",
  summary: "List triggers of the subscribed tables: there, or taken away by drop_triggers = 1",
  columns: ["table_name", "trigger_name", "trigger_def"],
  list: listTriggers,
});
