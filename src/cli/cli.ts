import { daemonChild } from "../base/daemon.ts";
import { EXIT } from "../base/errors.ts";
import { COMMANDS } from "../commands/mod.ts";
import type { CommandEntry } from "./command.ts";
import { commandHelp, commandList, shortHelp, VERSION } from "./help.ts";
import { writeStderr, writeStdout } from "./output.ts";
import { asCalled, parseCommandLine } from "./parse.ts";
import { printError, runCommand } from "./run.ts";

/**
 * The whole program: a command line in, an exit status out. Nothing escapes it.
 * @param commands the table of contents; tests have their own
 */
export async function runCli(args: readonly string[], commands: readonly CommandEntry[] = COMMANDS): Promise<number> {
  const child = daemonChild();
  try {
    const { argv, configFirst } = asCalled(calledName(), args);
    const request = await parseCommandLine(argv, commands, { configFirst });
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

/** The name under which the program was called, which may be a link's; Deno.execPath() is what the link points to. */
function calledName(): string {
  if (!Deno.build.standalone) return "skyq";
  try {
    return Deno.readTextFileSync("/proc/self/cmdline").split("\0", 1)[0]!;
  } catch {
    return "skyq";
  }
}
