import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { addProviderTables, CAPTURE_MODES, type CaptureMode } from "../engine/nodes/tables.ts";
import { withProvider } from "./_pair.ts";

export const providerAdd = defineCommand({
  name: "provider add",
  summary: "Put tables of the provider under replication",
  details:
    "Creates the capture triggers, each table in a transaction of its own and under lock_timeout. Tables need a primary key.",
  examples: [
    "skyq provider add conf.ini orders customers",
    "skyq provider add conf.ini 'app.*'",
    "skyq provider add conf.ini --all",
    "skyq provider add conf.ini measurements --capture=statement",
  ],
  config: "provider",
  args: { name: "TABLE", many: true, help: "table, `schema.table`, or a glob such as `app.*`" },
  options: {
    all: { kind: "flag", help: "everything that fits, when nothing is named" },
    capture: {
      kind: "string",
      choices: CAPTURE_MODES,
      default: "auto",
      value: "MODE",
      help:
        "row: log changes row by row · statement: once per statement, cheaper from ten rows on, refused where the " +
        "order of changes would suffer · auto: row",
    },
  },
  async run(ctx, options, names) {
    const isDone = await withProvider(
      ctx,
      (db, queue) =>
        addProviderTables(db, queue, { names, all: options.all }, {
          capture: options.capture as CaptureMode,
        }, ctx.log),
    );
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
