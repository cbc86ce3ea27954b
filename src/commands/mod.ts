import type { CommandEntry } from "../cli/command.ts";

/**
 * Every command, in the order of the help. Names and summaries stand here so that help and look-up load nothing; each
 * command's modules are read when it is called.
 */
export const COMMANDS: readonly CommandEntry[] = [
  {
    group: "Config",
    name: "config show",
    summary: "Print every config value as it is understood, and where it came from",
    load: () => import("./config_show.ts").then((module) => module.configShow),
  },
];
