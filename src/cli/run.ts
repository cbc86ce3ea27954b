import { type DaemonChild, startDaemon } from "../base/daemon.ts";
import { EXIT, SkyqError } from "../base/errors.ts";
import { createLogger, type FileLogger, type LogOptions, redactSecrets } from "../base/file_log.ts";
import { acquirePidfile, type Pidfile, pidfileHolder } from "../base/pidfile.ts";
import { listenToSignals } from "../base/signals.ts";
import { type Config, type ConfigInput, loadConfig, readPidfileKey, requireKnownOverrides } from "../config/config.ts";
import { sampleConfig } from "../config/sample.ts";
import type { Command, CommandContext } from "./command.ts";
import { VERSION } from "./help.ts";
import { optionValues, type ReadOptions } from "./options.ts";
import { createOutput, StdoutClosed, writeStderr, writeStdout } from "./output.ts";
import type { Request } from "./parse.ts";
import { signalJob } from "./signal_job.ts";

type RunRequest = Extract<Request, { kind: "run" }>;

const DAEMON_TIMEOUT_S = 60;

/**
 * Runs one command from its config to its exit status: everything around `command.run`.
 * @param argv the whole command line, for the daemon that is started with it again
 * @param child the line to the waiting parent, in a process that was started by -d
 */
export async function runCommand(
  request: RunRequest,
  argv: readonly string[],
  child: DaemonChild | null,
): Promise<number> {
  const { command, options } = request;
  const overrides = readOverrides(options);
  if (options.has("ini")) {
    writeStdout(sampleConfig(command.config, overrides));
    return EXIT.ok;
  }
  const flags = readFlags(options);
  // Without a file although the command takes one: something else has taken its place.
  const kind = request.config === null ? "none" : command.config;
  const input = { file: request.config, kind, overrides, env: Deno.env.toObject() };
  const consoleOnly = { level: flags.level, file: null, sizeMax: 0, count: 0, console: true };
  if (flags.signal !== null) {
    if (flags.signal === "SIGHUP") loadConfig(input); // whoever asks for a reload hears first what is wrong
    // To be stopped a job needs its pidfile only: the rest of its file may be broken by now. What was typed with this
    // very command may not: with a misspelt pidfile another job would be meant.
    requireKnownOverrides(input);
    const pidfile = readPidfileKey(input);
    const log = createLogger(consoleOnly);
    return await signalJob({ ...flags, signal: flags.signal, pidfile, log });
  }
  const config = loadConfig(input);
  if (!flags.daemon || child !== null) return await runHere({ request, input, config, flags, child });
  const log = createLogger(consoleOnly);
  for (const warning of config.warnings) log.warning(warning);
  return await detach(config, argv, flags.timeoutMs, log);
}

/** Runs the command in this process, in the foreground or as the daemon itself. @returns the exit status */
async function runHere({ request, input, config: firstConfig, flags, child }: {
  request: RunRequest;
  input: ConfigInput;
  config: Config;
  flags: Flags;
  child: DaemonChild | null;
}): Promise<number> {
  const { command } = request;
  let config = firstConfig;
  const log = createLogger(logOptions(config, { command, flags, child }));
  let pidfile: Pidfile | null = null;
  let stopListening = () => {};
  const end = () => {
    stopListening();
    pidfile?.release();
    log.close();
  };
  const fail = (error: unknown): number => reportError(error, { command, log, child, verbosity: flags.verbosity });

  const stopping = new AbortController();
  const reloadListeners: ((config: Config) => void)[] = [];
  const leaveListeners: (() => void)[] = [];
  const reload = () => {
    try {
      const next = loadConfig(input);
      log.reopen(logOptions(next, { command, flags, child }));
      config = next;
      for (const warning of config.warnings) log.warning(warning);
      log.info("Config reloaded");
      for (const listener of reloadListeners) listener(config);
    } catch (error) {
      log.error(`Config not reloaded, the old one stays: ${describeError(error, 0)}`);
    }
  };

  try {
    for (const warning of config.warnings) log.warning(warning);
    pidfile = takePidfile(config, command, log);
    const stopSignals = listenToSignals({
      stop() {
        log.info("Got SIGINT, leaving after the current step");
        stopping.abort(new SkyqError("stopped", `Stopped "${command.name}": interrupted`));
      },
      leave(signal, number) {
        log.info(`Got ${signal}, leaving at once`);
        for (const listener of leaveListeners) listener();
        end();
        Deno.exit(EXIT.signal(number));
      },
      reload: command.daemon ? reload : undefined,
    });
    const stopBugs = listenToBugs((error) => {
      const exit = fail(error);
      end();
      Deno.exit(exit);
    });
    stopListening = () => (stopSignals(), stopBugs());

    const ctx: CommandContext = {
      get config() {
        return config;
      },
      log,
      out: createOutput(),
      signal: stopping.signal,
      verbosity: flags.verbosity,
      commandName: command.name,
      onReload: (listener) => reloadListeners.push(listener),
      onLeave: (listener) => leaveListeners.push(listener),
      ready: (warning) => Promise.resolve(child?.ready(warning)),
    };
    const exit = await command.run(ctx, optionValues(command.options, request.options), request.args);
    return exit ?? EXIT.ok;
  } catch (error) {
    return fail(error);
  } finally {
    end();
  }
}

/** The log file is the daemon's: what an operator does beside it, and mistypes, is said to the operator alone. */
function logOptions(
  config: Config,
  { command, flags, child }: { command: Command; flags: Flags; child: DaemonChild | null },
): LogOptions {
  const file = config.get("logfile");
  return {
    level: flags.level,
    file: command.daemon && file !== "-" ? file : null,
    sizeMax: config.get("log_size"),
    count: config.get("log_count"),
    console: child === null,
  };
}

interface Flags {
  readonly level: LogOptions["level"];
  readonly verbosity: number;
  readonly daemon: boolean;
  readonly signal: "SIGHUP" | "SIGINT" | "SIGTERM" | null;
  readonly waitMs: number | null;
  readonly timeoutMs: number;
  readonly strict: boolean;
}

/** The frame's own options. Those of daemons are absent from other commands, so they read as not given. */
function readFlags(options: ReadOptions["values"]): Flags {
  const verbosity = Number(options.get("verbose") ?? 0);
  if (verbosity > 0 && options.has("quiet")) throw usage("Cannot take --quiet and --verbose together");
  const acts = ["daemon", "reload", "stop", "kill"].filter((name) => options.has(name));
  if (acts.length > 1) throw usage(`Cannot take --${acts[0]} and --${acts[1]} together`);
  const act = acts[0];
  const signal = act === "reload" ? "SIGHUP" : act === "stop" ? "SIGINT" : act === "kill" ? "SIGTERM" : null;
  const waits = options.has("wait");
  if (waits && act !== "stop" && act !== "kill") throw usage("Cannot take --wait without --stop or --kill");
  if (options.has("strict") && signal === null) throw usage("Cannot take --strict without --reload, --stop or --kill");
  const timeoutMs = Number(options.get("timeout") ?? DAEMON_TIMEOUT_S) * 1000;
  return {
    level: verbosity > 0 ? "DEBUG" : options.has("quiet") ? "WARNING" : "INFO",
    verbosity,
    daemon: act === "daemon",
    signal,
    waitMs: waits ? timeoutMs : null,
    timeoutMs,
    strict: options.has("strict"),
  };
}

function readOverrides(options: ReadOptions["values"]): Map<string, string> {
  const overrides = new Map<string, string>();
  for (const text of options.get("set") as readonly string[] | undefined ?? []) {
    const equals = text.indexOf("=");
    if (equals < 1) throw usage(`Cannot read option "--set": "${text}" is not KEY=VALUE`);
    overrides.set(text.slice(0, equals).trim().toLowerCase(), text.slice(equals + 1).trim());
  }
  return overrides;
}

function usage(message: string): SkyqError {
  return new SkyqError("usage", message);
}

/** Starts the daemon and waits for it. @returns this process's exit status */
async function detach(config: Config, argv: readonly string[], timeoutMs: number, log: FileLogger): Promise<number> {
  const pidfile = config.get("pidfile");
  if (pidfile === null) {
    throw new SkyqError("config", "Daemon needs pidfile", { hint: 'Set the config key "pidfile".' });
  }
  if (typeof pidfileHolder(pidfile) === "number") acquirePidfile(pidfile, log); // says who holds it
  if (config.get("logfile") === null) log.warning('No "logfile" in config: the daemon keeps no log');
  const stopping = new AbortController();
  const stopListening = listenToSignals({ stop: () => stopping.abort(), leave: () => stopping.abort() });
  try {
    const { exit, text } = await startDaemon({ args: argv, timeoutMs, signal: stopping.signal });
    if (text !== "") log[exit === EXIT.ok ? "warning" : "error"](text);
    return exit;
  } finally {
    stopListening();
  }
}

function takePidfile(config: Config, command: Command, log: FileLogger): Pidfile | null {
  const path = config.get("pidfile");
  if (path === null) return null;
  if (command.daemon) return acquirePidfile(path, log);
  return command.pidfileSuffix === undefined ? null : acquirePidfile(`${path}.${command.pidfileSuffix}`, log);
}

/** What nobody caught, in a promise that nobody waited for, would end a daemon without a word: it has no stderr. */
function listenToBugs(onBug: (error: unknown) => void): () => void {
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    onBug(event.reason);
  };
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    onBug(event.error);
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  globalThis.addEventListener("error", onError);
  return () => {
    globalThis.removeEventListener("unhandledrejection", onRejection);
    globalThis.removeEventListener("error", onError);
  };
}

/** Logs what ended a command, and hands it to the parent of a daemon. @returns the exit status */
function reportError(
  error: unknown,
  { command, log, child, verbosity }: {
    command: Command;
    log: FileLogger;
    child: DaemonChild | null;
    verbosity: number;
  },
): number {
  if (error instanceof StdoutClosed) return EXIT.signal(13);
  if (error instanceof SkyqError && error.fault === "stopped") {
    log.debug(error.message);
    return command.daemon ? EXIT.ok : EXIT.signal(2);
  }
  const text = describeError(error, verbosity);
  log.error(text);
  child?.failed(text);
  return exitOf(error);
}

/** An error from before there was a log: the line or the config could not be understood. @returns the exit status */
export function printError(error: unknown, child: DaemonChild | null): number {
  if (error instanceof StdoutClosed) return EXIT.signal(13);
  const text = redactSecrets(describeError(error, 0));
  if (error instanceof SkyqError && error.fault === "usage") writeStderr(`skyq: ${text}\n`);
  else createLogger({ level: "ERROR", file: null, sizeMax: 0, count: 0, console: true }).error(text);
  child?.failed(text);
  return exitOf(error);
}

function exitOf(error: unknown): number {
  return error instanceof SkyqError ? error.exit : EXIT.failed;
}

/** Message and hint of an expected error, with -v its causes too; the stack of any other, which is a bug. */
function describeError(error: unknown, verbosity: number): string {
  if (!(error instanceof SkyqError)) {
    const stack = error instanceof Error ? error.stack ?? error.message : String(error);
    return `This is a bug in skyq ${VERSION}, please report it: ${stack}`;
  }
  const lines = [error.message];
  if (error.hint !== undefined) lines.push(`hint: ${error.hint}`);
  if (verbosity > 0) {
    for (const [name, value] of Object.entries(error.facts)) lines.push(`${name}: ${String(value)}`);
    for (let cause = error.cause; cause instanceof Error; cause = cause.cause) lines.push(`cause: ${cause.stack}`);
  }
  return lines.join("\n");
}
