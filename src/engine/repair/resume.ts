// A file that remembers how far a run has come, so that the same command goes on there.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { messageOf, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Pidfile } from "../../base/pidfile.ts";
import { lockFile, removeFile } from "./files.ts";
import type { Layout } from "./layout.ts";
import type { TableReport } from "./report.ts";
import type { ScriptSizes } from "./script.ts";
import type { Checkpoint } from "./table.ts";

const FORMAT = 2;

/** How far one table has come, and how much of its files belongs to that. */
export interface TableProgress {
  readonly checkpoint: Checkpoint;
  readonly fixSizes: ScriptSizes;
  readonly undoSizes: ScriptSizes;
}

interface Content {
  readonly format: number;
  /** Of all that must be the same for going on to make sense. */
  readonly fingerprint: string;
  readonly done: Record<string, TableReport>;
  readonly underWay: Record<string, {
    /** Of the table's columns on both sides. */
    readonly layout: string;
    readonly after: readonly (string | null)[];
    readonly counts: Checkpoint["counts"];
    readonly method: Checkpoint["method"];
    readonly fixSizes: ScriptSizes;
    readonly undoSizes: ScriptSizes;
  }>;
}

export class ResumeFile {
  readonly path: string;
  readonly #content: Content;
  readonly #lock: Pidfile;
  #isClosed = false;

  private constructor(path: string, content: Content, lock: Pidfile) {
    this.path = path;
    this.#content = content;
    this.#lock = lock;
  }

  /**
   * Reads the file, or begins with nothing.
   * @param about everything that decides what is compared: databases, tables, columns, options
   * @throws {SkyqError} `refused` when the file belongs to something else, `config` when it cannot be used,
   *   `already-running` when another run uses it
   */
  static open(path: string, about: unknown, log: Logger): ResumeFile {
    const lock = lockFile(path, "--resume", log);
    try {
      return ResumeFile.#open(path, about, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  static #open(path: string, about: unknown, lock: Pidfile): ResumeFile {
    const fingerprint = createHash("sha256").update(JSON.stringify(about)).digest("hex");
    const fresh: Content = { format: FORMAT, fingerprint, done: {}, underWay: {} };
    let text: string;
    try {
      text = Deno.readTextFileSync(path);
    } catch (cause) {
      if (!(cause instanceof Deno.errors.NotFound)) throw unusable(path, cause);
      const file = new ResumeFile(path, fresh, lock);
      file.#write();
      return file;
    }
    let content: Content;
    try {
      content = JSON.parse(text);
    } catch (cause) {
      throw unusable(path, cause);
    }
    if (content.format !== FORMAT || content.fingerprint !== fingerprint) {
      throw new SkyqError(
        "refused",
        `Cannot go on from "${path}": it belongs to another command, or tables have changed`,
        {
          hint: "Repeat the command as it was, or remove the file to begin anew.",
        },
      );
    }
    return new ResumeFile(path, content, lock);
  }

  doneTable(table: string): TableReport | undefined {
    return this.#content.done[table];
  }

  /** Whether there is something of the table to go on with. */
  hasBegun(table: string): boolean {
    return this.#content.underWay[table] !== undefined;
  }

  /** Where to go on; null when the table was not begun, or is not what it was. */
  progressOf(table: string, layout: Layout): TableProgress | null {
    const entry = this.#content.underWay[table];
    if (entry === undefined || entry.layout !== signatureOf(layout)) return null;
    const { after, counts, method, fixSizes, undoSizes } = entry;
    return { checkpoint: { after: after.map(cellOf), counts, method }, fixSizes, undoSizes };
  }

  reached(table: string, layout: Layout, { checkpoint, fixSizes, undoSizes }: TableProgress): void {
    const after = checkpoint.after.map((cell) => cell === null ? null : Buffer.from(cell).toString("base64"));
    const { counts, method } = checkpoint;
    this.#content.underWay[table] = { layout: signatureOf(layout), after, counts, method, fixSizes, undoSizes };
    this.#write();
  }

  finished(report: TableReport): void {
    delete this.#content.underWay[report.table];
    this.#content.done[report.table] = report;
    this.#write();
  }

  /** All is done: nothing to go on with. */
  remove(): void {
    removeFile(this.path);
    this.close();
  }

  /** There is something to go on with. */
  get isWorthKeeping(): boolean {
    const { done, underWay } = this.#content;
    return Object.keys(done).length + Object.keys(underWay).length > 0;
  }

  /** Leaves the file to whoever goes on, if there is anything in it. Safe to call twice. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.isWorthKeeping) removeFile(this.path);
    this.#lock.release();
  }

  #write(): void {
    try {
      const next = `${this.path}.new`;
      Deno.writeTextFileSync(next, JSON.stringify(this.#content));
      Deno.renameSync(next, this.path);
    } catch (cause) {
      throw unusable(this.path, cause);
    }
  }
}

function signatureOf({ key, columns, clientEncoding }: Layout): string {
  return JSON.stringify([
    key.map(({ name }) => name),
    columns.map(({ name, source, target }) => [name, source.type, target.type]),
    clientEncoding,
  ]);
}

function cellOf(text: string | null): Uint8Array | null {
  return text === null ? null : new Uint8Array(Buffer.from(text, "base64"));
}

function unusable(path: string, cause: unknown): SkyqError {
  return new SkyqError("config", `Cannot use "${path}" for --resume: ${messageOf(cause)}`, { cause });
}
