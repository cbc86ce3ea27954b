// The files that repair writes: fix.SCHEMA.TABLE.sql and undo.SCHEMA.TABLE.sql.

import { join } from "node:path";
import { createHash } from "node:crypto";
import { messageOf, SkyqError } from "../../base/errors.ts";
import { splitName } from "../../db/quote.ts";

/** Beyond this, and below what file systems take, a name is cut. */
const NAME_BYTES_MAX = 200;
const WRITE_SIZE = 256 << 10;
/** Stands behind the name of a file that is not complete. */
const PART = ".part";

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

export function removeFile(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
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

  /** Removes what an earlier run has left. */
  clear(): void {
    removeFile(this.path);
    removeFile(this.#part);
  }

  /** Goes on behind the first `size` bytes of a file that was not finished. @throws {SkyqError} `not-found` */
  resume(size: number): void {
    if (size === 0) return removeFile(this.#part);
    try {
      this.#file = Deno.openSync(this.#part, { write: true });
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
        this.#file ??= Deno.openSync(this.#part, { write: true, createNew: true });
      }
      for (const bytes of this.#pending) {
        for (let at = 0; at < bytes.length;) at += this.#file!.writeSync(bytes.subarray(at));
        this.#size += bytes.length;
      }
    } catch (cause) {
      throw new SkyqError("refused", `Cannot write "${this.path}": ${messageOf(cause)}`, {
        hint: "Is the disk full? --output=DIR names another directory.",
        cause,
      });
    }
    this.#pending = [];
    this.#pendingSize = 0;
    return this.#size;
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

/**
 * Puts older files out of the way: `undo.t.sql` becomes `undo.t.sql.~1~`, or the next number that is free; so does what
 * a run that was killed has left.
 */
export function keepOlder(path: string): void {
  for (const existing of [path, `${path}${PART}`]) {
    if (!exists(existing)) continue;
    let n = 1;
    while (exists(`${path}.~${n}~`)) n++;
    Deno.renameSync(existing, `${path}.~${n}~`);
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
