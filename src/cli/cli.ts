import { daemonChild } from "../base/daemon.ts";
import { EXIT } from "../base/errors.ts";
import { COMMANDS } from "../commands/mod.ts";
import type { CommandEntry } from "./command.ts";
import { commandHelp, commandList, shortHelp, VERSION } from "./help.ts";
import { writeStderr, writeStdout } from "./output.ts";
import { parseCommandLine } from "./parse.ts";
import { printError, runCommand } from "./run.ts";

/**
 * The whole program: a command line in, an exit status out. Nothing escapes it.
 * @param commands the table of contents; tests have their own
 */
export async function runCli(argv: readonly string[], commands: readonly CommandEntry[] = COMMANDS): Promise<number> {
  const child = daemonChild();
  try {
    const request = await parseCommandLine(argv, commands, { configFirst: isCalledLondiste() });
    switch (request.kind) {
      case "shortHelp":
        writeStderr(shortHelp());
        return EXIT.usage;
      case "version":
        writeStdout(`skyq ${VERSION}\n`);
        return EXIT.ok;
      case "help":
        writeStdout(await helpText(request.topic, commands));
        return EXIT.ok;
      case "run":
        return await runCommand(request, argv, child);
    }
  } catch (error) {
    return printError(error, child);
  }
}

async function helpText(topic: string | null, commands: readonly CommandEntry[]): Promise<string> {
  const entry = commands.find(({ name }) => name === topic);
  return entry === undefined ? commandList(commands, topic) : commandHelp(await entry.load());
}

/** Whether a link named `londiste` or `londiste.py` was called, whose users put the config first. */
function isCalledLondiste(): boolean {
  if (!Deno.build.standalone) return false;
  try {
    // Deno.execPath() is what the link points to.
    const called = Deno.readTextFileSync("/proc/self/cmdline").split("\0", 1)[0]!;
    return /^londiste/.test(called.slice(called.lastIndexOf("/") + 1));
  } catch {
    return false;
  }
}
