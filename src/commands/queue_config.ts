import { SkyqError } from "../base/errors.ts";
import { oneLine } from "../base/units.ts";
import { defineCommand } from "../cli/command.ts";
import {
  changeSettings,
  isSetting,
  parseSetting,
  readSettings,
  type SettingName,
  SETTINGS,
  settingText,
} from "../engine/queue_admin/config.ts";
import { JSON_OPTION, queueOf, SOME_QUEUE_ARG, withQueues } from "./_database.ts";

const LIST = Object.entries(SETTINGS).map(([name, { help }]) => `${name}: ${help}`).join("; ");

export const queueConfig = defineCommand({
  name: "queue config",
  summary: "Show or change the settings of queues",
  details: `Spans without a unit are seconds; names may begin with queue_. ${LIST}.\n\n` +
    "A queue over max_size is rotated as soon as its consumers allow it. With on_full = pause the application's writes " +
    "fail meanwhile; with drop-consumer those who hold back the rotation and have been behind for max_lag (1h where " +
    "none is set) are unregistered, and have to be set up anew. The ticker's maintenance looks after it.",
  examples: [
    "skyq queue config ticker.ini",
    "skyq queue config ticker.ini orders_queue ticker_max_lag=0.5 max_size=20GB on_full=warn",
  ],
  config: "database",
  args: [SOME_QUEUE_ARG, { name: "NAME=VALUE", help: "settings to change", many: true }],
  options: { json: JSON_OPTION },
  run(ctx, options, args) {
    // `queue config CONFIG NAME=VALUE …`: the queue is the config's.
    const isNamed = args[0] === undefined || !isSetting(args[0]);
    const queue = isNamed ? queueOf(ctx, args) : ctx.config.get("pgq_queue_name");
    const changes = args.slice(isNamed ? 1 : 0).map(parseSetting);
    if (changes.length > 0 && queue === null) {
      throw new SkyqError("usage", "Cannot change settings: no queue is named", {
        hint: "Write QUEUE before them, or set pgq_queue_name in the config.",
      });
    }
    return withQueues(ctx, async (db) => {
      if (changes.length > 0) {
        await db.transaction((tx) => changeSettings(tx, queue!, changes));
        ctx.log.info(`Changed settings of queue "${queue}"`);
        return;
      }
      const all = await readSettings(db, queue);
      if (options.json) return all.forEach((row) => ctx.out.json(row));
      for (const [index, settings] of all.entries()) {
        if (index > 0) ctx.out.line("");
        ctx.out.line(oneLine(settings.queue));
        for (const name of Object.keys(SETTINGS) as SettingName[]) {
          ctx.out.line(`    ${name} = ${settingText(name, settings[name])}`);
        }
      }
    });
  },
});
