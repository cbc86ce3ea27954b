import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { addSubscriberTables, waitSync } from "../engine/nodes/tables.ts";
import { withPair, withSubscriber } from "./_pair.ts";
import { toMs } from "./_targets.ts";

export const subscriberAdd = defineCommand({
  name: "subscriber add",
  summary: "Subscribe tables: the replay copies their rows, then follows every change",
  details:
    "Checks the structure of all named tables first and adds none when one of them does not fit. The running replay " +
    "starts the copy by itself.\n\n" +
    "--create makes tables that are missing here as the provider has them: schema, columns with what they default to, " +
    "NOT NULL, primary key. --create-full makes all that belongs to them: types, sequences, constraints, indexes, " +
    "storage, comments, triggers, rules; owner and grants where the roles exist. Foreign keys follow when both their " +
    "tables are there and in sync. Each table is one transaction.",
  examples: [
    "skyq subscriber add conf.ini orders customers",
    "skyq subscriber add conf.ini --all",
    "skyq subscriber add conf.ini orders --expect-sync",
    "skyq subscriber add conf.ini --all --create-full",
  ],
  config: "pair",
  args: { name: "TABLE", many: true, help: "table, `schema.table`, or a glob such as `app.*`" },
  options: {
    all: {
      kind: "flag",
      help: "everything that both sides have, when nothing is named; with --create all that the provider sends",
    },
    expectSync: {
      kind: "flag",
      aliases: ["excect-sync"],
      help: "the rows are the same already: no copy, state ok at once",
    },
    skipTruncate: { kind: "flag", help: "the copy keeps the rows that are there" },
    force: {
      kind: "flag",
      help: "add in spite of differences that the check finds; columns that the subscriber lacks are left out",
    },
    create: { kind: "flag", help: "make tables that are missing on the subscriber" },
    createFull: { kind: "flag", help: "the same, with all that belongs to them" },
    waitSync: { kind: "flag", help: "wait until the added tables are in sync; a replay must be running" },
    timeout: { kind: "number", min: 0, value: "SECONDS", help: "limit for --wait-sync, none when not given" },
  },
  async run(ctx, options, names) {
    const isDone = await withPair(ctx, (pair, queue) =>
      addSubscriberTables(pair, queue, { names, all: options.all }, {
        expectSync: options.expectSync,
        skipTruncate: options.skipTruncate,
        force: options.force,
        dropTriggers: ctx.config.get("drop_triggers"),
        create: options.createFull ? "full" : options.create ? "plain" : null,
      }, ctx.log));
    if (!isDone) return EXIT.failed;
    if (options.waitSync) {
      await withSubscriber(
        ctx,
        (db, queue) =>
          waitSync(
            db,
            queue,
            { timeoutMs: options.timeout === null ? null : toMs(options.timeout) },
            ctx.log,
            ctx.signal,
          ),
      );
    }
    return EXIT.ok;
  },
});
