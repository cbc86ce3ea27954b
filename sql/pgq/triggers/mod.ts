/**
 * The trigger functions of schema pgq and what they are made of, in the order to apply them: a function comes after the
 * ones it calls. They need pgq.insert_event() to run, not to be created.
 */
import grants from "./grants.sql" with { type: "text" };
import insertTriggerEvent from "./insert_trigger_event.sql" with { type: "text" };
import isChanged from "./is_changed.sql" with { type: "text" };
import jsonRow from "./json_row.sql" with { type: "text" };
import jsonType from "./json_type.sql" with { type: "text" };
import listedColumns from "./listed_columns.sql" with { type: "text" };
import rowValues from "./row_values.sql" with { type: "text" };
import sqlRow from "./sql_row.sql" with { type: "text" };
import trigger from "./trigger.sql" with { type: "text" };
import triggerEvents from "./trigger_events.sql" with { type: "text" };
import triggerExpression from "./trigger_expression.sql" with { type: "text" };
import triggerExpressions from "./trigger_expressions.sql" with { type: "text" };
import urlencode from "./urlencode.sql" with { type: "text" };
import urlencodeRow from "./urlencode_row.sql" with { type: "text" };

/** Snapshots that last longer than a statement may be older than the table's definition. */
const OLD_SNAPSHOT = "current_setting('transaction_isolation') in ('repeatable read', 'serializable')";

/** What sets the three trigger functions apart; all else is in trigger.sql, once. */
const FORMATS = [
  { name: "logutriga", format: "url", form: "urlencoded", needs_json: OLD_SNAPSHOT },
  { name: "sqltriga", format: "sql", form: "as parts of SQL statements", needs_json: OLD_SNAPSHOT },
  {
    name: "jsontriga",
    format: "json",
    form: "as JSON",
    needs_json: `current_setting('datestyle') not like 'ISO%'\n            or ${OLD_SNAPSHOT}`,
  },
];

export const TRIGGERS: string[] = [
  urlencode,
  rowValues,
  isChanged,
  urlencodeRow,
  jsonType,
  jsonRow,
  sqlRow,
  listedColumns,
  triggerEvents,
  triggerExpression,
  triggerExpressions,
  insertTriggerEvent,
  ...FORMATS.map((format) =>
    Object.entries(format).reduce((text, [key, value]) => text.replaceAll(`{{${key}}}`, () => value), trigger)
  ),
  grants,
];
