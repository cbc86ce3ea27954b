import { redactSecrets } from "../base/file_log.ts";
import { defineCommand } from "../cli/command.ts";
import { type Key, KEYS, REQUIRED } from "../config/keys.ts";

const KINDS = Object.keys(REQUIRED).filter((kind) =>
  REQUIRED[kind as keyof typeof REQUIRED].length > 0
) as (keyof typeof REQUIRED)[];

export const configShow = defineCommand({
  name: "config show",
  summary: "Print every config value as it is understood, and where it came from",
  details:
    "Checks the file, the environment (SKYQ_KEY) and --set without connecting to anything. Passwords are not shown.",
  examples: ["skyq config show orders.ini", "skyq config show orders.ini --for ticker --json"],
  config: "any",
  options: {
    for: { kind: "string", choices: KINDS, value: "KIND", help: "check that the keys of this kind of job are there" },
    changed: { kind: "flag", help: "leave out values that are just defaults" },
    json: { kind: "flag", help: "one JSON object per line" },
  },
  run(ctx, options) {
    if (options.for !== null) ctx.config.check(options.for as keyof typeof REQUIRED);
    const keys = Object.keys(KEYS) as Key[];
    const rows = keys.filter((key) => !options.changed || ctx.config.isSet(key)).map((key) => {
      const value = ctx.config.get(key) as unknown;
      return { key, value: typeof value === "string" ? redactSecrets(value) : value, source: ctx.config.source(key) };
    });
    ctx.out.table(["key", "value", "source"], rows, options);
    return Promise.resolve();
  },
});
