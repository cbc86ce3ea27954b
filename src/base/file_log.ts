import { makeDirectoryOf } from "./directory.ts";
import { messageOf, SkyqError } from "./errors.ts";
import { formatStat, LOG_LEVELS, type Logger, type LogLevel } from "./log.ts";

export interface LogOptions {
  /** Lines below this level are dropped. */
  readonly level: LogLevel;
  /** Path of the log file, or `null` for none. */
  readonly file: string | null;
  /** Bytes after which the file is rotated; 0 = never. */
  readonly sizeMax: number;
  /** How many rotated files (`.1` is the newest) are kept; 0 = the file is never rotated. */
  readonly count: number;
  /** Whether lines go to stderr as well. */
  readonly console: boolean;
}

/** The job's log: lines go out at once, so that a killed process loses none. */
export interface FileLogger extends Logger {
  /** Takes new options (SIGHUP) and opens the file by its name again, in case somebody moved it away. */
  reopen(options: LogOptions): void;
  close(): void;
}

/** How often an open log is compared with what its name stands for now, in milliseconds. */
const IDENTITY_CHECK_MS = 1000;

/**
 * Opens the log of a job; the file's directory is made when it is missing.
 * @throws {SkyqError} `config` naming the file, when it cannot be opened for appending
 */
export function createLogger(options: LogOptions): FileLogger {
  let current = options;
  let file = options.file === null ? null : new RotatingFile(options.file, options.sizeMax, options.count);

  function write(level: LogLevel, message: string): void {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(current.level)) return;
    const line = encoder.encode(`${formatTime(new Date())} ${Deno.pid} ${level} ${redactSecrets(message)}\n`);
    if (current.console) writeAll(Deno.stderr, line);
    try {
      file?.append(line);
    } catch (error) {
      // A full disk must not stop replication; what could not be written to the file is said on stderr instead.
      if (!current.console) writeAll(Deno.stderr, line);
      writeAll(Deno.stderr, encoder.encode(`Cannot write log file "${current.file}": ${(error as Error).message}\n`));
    }
  }

  return {
    debug: (message) => write("DEBUG", message),
    info: (message) => write("INFO", message),
    warning: (message) => write("WARNING", message),
    error: (message) => write("ERROR", message),
    critical: (message) => write("CRITICAL", message),
    stat: (values) => write("INFO", formatStat(values)),
    reopen(next) {
      const reopened = next.file === null ? null : new RotatingFile(next.file, next.sizeMax, next.count);
      file?.close();
      [current, file] = [next, reopened];
    },
    close() {
      file?.close();
      file = null;
    },
  };
}

const encoder = new TextEncoder();

/** A file that is appended to and, when full, renamed to `.1`, `.1` to `.2` and so on. */
class RotatingFile {
  #file: Deno.FsFile;
  #size = 0;
  #inode: number | null = null;
  #checkedMs = 0;

  constructor(readonly path: string, readonly sizeMax: number, readonly count: number) {
    this.#file = this.#open();
  }

  #open(): Deno.FsFile {
    let file: Deno.FsFile;
    try {
      makeDirectoryOf(this.path);
      file = Deno.openSync(this.path, { append: true, create: true });
    } catch (cause) {
      throw new SkyqError("config", `Cannot open log file "${this.path}": ${messageOf(cause)}`, {
        hint: 'The user that runs skyq must be able to write there; or set the config key "logfile" to another place.',
        cause,
      });
    }
    const info = file.statSync();
    this.#size = info.size;
    this.#inode = info.ino;
    this.#checkedMs = performance.now();
    return file;
  }

  append(bytes: Uint8Array): void {
    const isFull = this.sizeMax > 0 && this.count > 0 && this.#size > 0 && this.#size + bytes.length > this.sizeMax;
    if (isFull || performance.now() - this.#checkedMs > IDENTITY_CHECK_MS) {
      // Another process of this job may have rotated already, and logrotate may have moved the file away.
      if (!this.#isCurrent()) this.#reopen();
      else if (isFull) this.#rotate();
    }
    writeAll(this.#file, bytes);
    this.#size += bytes.length;
  }

  #isCurrent(): boolean {
    this.#checkedMs = performance.now();
    try {
      const info = Deno.statSync(this.path);
      this.#size = info.size;
      return info.ino === this.#inode;
    } catch {
      return false;
    }
  }

  #rotate(): void {
    for (let index = this.count; index > 0; index--) {
      const source = index === 1 ? this.path : `${this.path}.${index - 1}`;
      try {
        Deno.renameSync(source, `${this.path}.${index}`);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    this.#reopen();
  }

  #reopen(): void {
    const next = this.#open();
    this.#file.close();
    this.#file = next;
  }

  close(): void {
    this.#file.close();
  }
}

/** Writes all of `bytes`. A reader that went away is not an error: nobody misses the rest. */
function writeAll(target: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  try {
    for (let offset = 0; offset < bytes.length;) offset += target.writeSync(bytes.subarray(offset));
  } catch (error) {
    if (target !== Deno.stderr) throw error;
  }
}

/** `YYYY-MM-DD HH:MM:SS,mmm` in local time. */
export function formatTime(time: Date): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return `${date} ${clock},${String(time.getMilliseconds()).padStart(3, "0")}`;
}

/**
 * Blots out passwords in connect strings, URIs and statements. Messages are made without secrets; this is the second line, for
 * texts that come from elsewhere.
 * @example redactSecrets("host=x password='a b'") === "host=x password=***"
 */
export function redactSecrets(text: string): string {
  // Rather too much than too little: an unquoted password ends only at a blank.
  return text
    .replace(/\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)+)/gis, "$1***")
    // ALTER ROLE … PASSWORD '…'
    .replace(/\b(password\s+)(?:e|u&)?'(?:[^']|'')*'/gi, "$1***")
    .replace(/\b(postgres(?:ql)?:\/\/[^\s:@/]*):\S*@/gi, "$1:***@");
}
