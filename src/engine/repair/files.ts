// The files that repair writes: fix.SCHEMA.TABLE.sql and undo.SCHEMA.TABLE.sql.

import { join } from "node:path";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { messageOf, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { acquirePidfile, type Pidfile } from "../../base/pidfile.ts";
import { splitName } from "../../db/quote.ts";

/** Beyond this, and below what file systems take, a name is cut. */
const NAME_BYTES_MAX = 200;
const WRITE_SIZE = 256 << 10;
/** Stands behind the name of a file that is not complete. */
const PART = ".part";
/** Stands behind the name of a file that is written by one run only. */
const LOCK = ".lock";

/** First lines of undo files. What a fix file has not been applied for needs no undoing. */
export const UNDO_HEAD = {
  fixFile: "-- Takes back what the fix file of the same run does.\n",
  applied: "-- Takes back what repair --apply did.\n",
} as const;

/** `fix.public.orders.sql`; characters that mean something to a shell or a file system become `%XX`. */
export function fileName(kind: "fix" | "undo", table: string): string {
  const { schema, name } = splitName(table);
  const safe = (text: string) =>
    text.replace(
      /[^\p{L}\p{N}\p{M}_.$ -]/gu,
      (char) =>
        Array.from(new TextEncoder().encode(char), (byte) => `%${byte.toString(16).padStart(2, "0").toUpperCase()}`)
          .join(""),
    );
  let middle = `${safe(schema)}.${safe(name)}`;
  if (new TextEncoder().encode(middle).length > NAME_BYTES_MAX) {
    const hash = createHash("sha256").update(table).digest("hex").slice(0, 16);
    const cut = new TextDecoder().decode(new TextEncoder().encode(middle).subarray(0, NAME_BYTES_MAX - 20));
    middle = `${cut.replace(/\uFFFD+$/, "")}.${hash}`;
  }
  return `${kind}.${middle}.sql`;
}

/** @throws {SkyqError} `config` when files cannot be made in `dir` */
export function checkWritable(dir: string): void {
  try {
    Deno.removeSync(Deno.makeTempFileSync({ dir, prefix: ".skyq-" }));
  } catch (cause) {
    throw new SkyqError("config", `Cannot write to directory "${dir}": ${messageOf(cause)}`, {
      hint: "--output=DIR names another one.",
      cause,
    });
  }
}

/** @returns whether there was one */
export function removeFile(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Keeps other runs away from a file (and from those that belong to it) until it is released. The lock of a run that was
 * killed is void.
 * @param what for messages: `table "public.orders"`
 * @throws {SkyqError} `already-running` with the other's process id
 */
export function lockFile(path: string, what: string, log: Logger): Pidfile {
  const quiet = { ...log, info: () => log.info(`The run before that was writing "${path}" was killed`) };
  try {
    return acquirePidfile(`${path}${LOCK}`, quiet);
  } catch (error) {
    if (!(error instanceof SkyqError)) throw error;
    if (error.fault !== "already-running") {
      throw new SkyqError("config", `Cannot write "${path}": ${messageOf(error.cause)}`, { cause: error });
    }
    throw new SkyqError(
      "already-running",
      `Cannot write "${path}" for ${what}: process ${error.facts.pid} is writing it`,
      { hint: "Wait for it, or stop it; or let this run write elsewhere.", cause: error },
    );
  }
}

/**
 * A file of statements. It has its name only once it is complete; until then `.part` stands behind it. Without a
 * statement there is no file.
 */
export class StatementFile {
  readonly path: string;
  readonly #part: string;
  readonly #preamble: string;
  #file: Deno.FsFile | null = null;
  #pending: Uint8Array[] = [];
  #pendingSize = 0;
  #size = 0;

  /** @param preamble first lines of the file */
  constructor(dir: string, name: string, preamble: string) {
    this.path = join(dir, name);
    this.#part = `${this.path}${PART}`;
    this.#preamble = preamble;
  }

  /** Removes what an earlier run has left. @returns whether it was complete */
  clear(): boolean {
    removeFile(this.#part);
    return removeFile(this.path);
  }

  /** Goes on behind the first `size` bytes of a file that was not finished. @throws {SkyqError} `not-found` */
  resume(size: number): void {
    if (size === 0) return void removeFile(this.#part);
    try {
      // It may have got its name just before the run was killed.
      if (!exists(this.#part) && exists(this.path)) Deno.renameSync(this.path, this.#part);
      this.#file = Deno.openSync(this.#part, { read: true, write: true });
      if (this.#file.statSync().size < size) throw new Deno.errors.NotFound("it is shorter than it was");
      this.#file.truncateSync(size);
      this.#file.seekSync(0, Deno.SeekMode.End);
      this.#size = size;
    } catch (cause) {
      throw new SkyqError("not-found", `Cannot go on with "${this.#part}": ${messageOf(cause)}`, {
        hint: "Remove the file of --resume and begin anew.",
        cause,
      });
    }
  }

  /** Takes up all that a run that was killed has left. @returns its size */
  resumeAll(): number {
    if (!exists(this.#part)) return 0;
    this.resume(Deno.lstatSync(this.#part).size);
    return this.#size;
  }

  /** Whether a file that was not finished begins so. */
  partBegins(text: string): boolean {
    if (!exists(this.#part)) return false;
    const wanted = new TextEncoder().encode(text);
    using file = Deno.openSync(this.#part);
    const found = new Uint8Array(wanted.length);
    const size = file.readSync(found) ?? 0;
    return size === wanted.length && found.every((byte, index) => byte === wanted[index]);
  }

  get isEmpty(): boolean {
    return this.#size + this.#pendingSize === 0;
  }

  write(statement: Uint8Array): void {
    if (this.#size === 0 && this.#pendingSize === 0 && this.#preamble !== "") {
      this.#push(new TextEncoder().encode(this.#preamble));
    }
    this.#push(statement);
    if (this.#pendingSize >= WRITE_SIZE) this.flush();
  }

  #push(bytes: Uint8Array): void {
    this.#pending.push(bytes);
    this.#pendingSize += bytes.length;
  }

  /** Hands everything to the system. @returns the file's size. @throws {SkyqError} `refused` (the disk is full, …) */
  flush(): number {
    try {
      if (this.#pendingSize > 0) {
        this.#file ??= Deno.openSync(this.#part, { read: true, write: true, createNew: true });
      }
      // At once: a process that is killed here must not leave half a statement, which might mean something else.
      const bytes = Buffer.concat(this.#pending);
      for (let at = 0; at < bytes.length;) at += this.#file!.writeSync(bytes.subarray(at));
      this.#size += bytes.length;
    } catch (cause) {
      // Of a piece that did not fit nothing may stay: half a statement might mean something else.
      this.#file?.truncateSync(this.#size);
      this.#file?.seekSync(0, Deno.SeekMode.End);
      throw new SkyqError("refused", `Cannot write "${this.path}": ${messageOf(cause)}`, {
        hint: "Is the disk full? --output=DIR names another directory.",
        cause,
      });
    }
    this.#pending = [];
    this.#pendingSize = 0;
    return this.#size;
  }

  /** What was flushed so far, in pieces of their own memory. Nothing may be written meanwhile. */
  *read(): Generator<Uint8Array, void, void> {
    if (this.#file === null) return;
    for (let at = 0; at < this.#size;) {
      const piece = new Uint8Array(Math.min(WRITE_SIZE, this.#size - at));
      this.#file.seekSync(at, Deno.SeekMode.Start);
      const size = this.#file.readSync(piece);
      if (size === null) break;
      at += size;
      yield piece.subarray(0, size);
    }
    this.#file.seekSync(0, Deno.SeekMode.End);
  }

  /** Forgets all behind the first `size` bytes. */
  truncate(size: number): void {
    this.#pending = [];
    this.#pendingSize = 0;
    if (this.#file === null || size === this.#size) return;
    this.#file.truncateSync(size);
    this.#file.seekSync(0, Deno.SeekMode.End);
    this.#size = size;
  }

  /** Gives the file its name. @returns its path, null when nothing was written */
  finish(): string | null {
    this.flush();
    if (this.#file === null) return null;
    if (this.#size === 0) {
      // All of it was taken back.
      this.giveUp({ isKept: false });
      return null;
    }
    this.#file.syncSync();
    this.#file.close();
    this.#file = null;
    Deno.renameSync(this.#part, this.path);
    return this.path;
  }

  /** Closes it; what there is of it is removed, unless somebody will go on with it. */
  giveUp({ isKept }: { isKept: boolean }): void {
    this.#file?.close();
    this.#file = null;
    if (!isKept) removeFile(this.#part);
  }
}

export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Writes a file beside its place and puts it there complete, over an older one. A device or pipe is written as it is. */
export class WholeFile {
  readonly #path: string;
  readonly #part: string;

  /** @throws {SkyqError} `config` when it cannot be written: better now than after hours of work */
  constructor(path: string) {
    this.#path = this.#part = path;
    try {
      const found = exists(path) ? Deno.statSync(path) : null;
      if (found?.isDirectory) throw new Error("it is a directory");
      if (found === null || found.isFile) {
        // Through a link to the file itself.
        if (found !== null) this.#path = Deno.realPathSync(path);
        this.#part = `${this.#path}${PART}`;
        Deno.openSync(this.#part, { write: true, create: true, truncate: true }).close();
      }
    } catch (cause) {
      throw new SkyqError("config", `Cannot write "${path}": ${messageOf(cause)}`, { cause });
    }
  }

  /** @throws {SkyqError} `refused` (the disk is full, …) */
  write(text: string): void {
    try {
      Deno.writeTextFileSync(this.#part, text);
      if (this.#part !== this.#path) Deno.renameSync(this.#part, this.#path);
    } catch (cause) {
      this.giveUp();
      throw new SkyqError("refused", `Cannot write "${this.#path}": ${messageOf(cause)}`, { cause });
    }
  }

  /** Leaves nothing of it; harmless once it is written. */
  giveUp(): void {
    if (this.#part !== this.#path) removeFile(this.#part);
  }
}
