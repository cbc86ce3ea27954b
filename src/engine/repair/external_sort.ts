/**
 * Rows in key order where the server does not give them so: sorted here, in runs on local disk, in bounded memory.
 *
 * The file has no name any more once it is open, so that it is gone with the process, however that ends.
 */
import { join } from "node:path";
import { messageOf, SkyqError } from "../../base/errors.ts";
import { badStream, type KeyOrder, type Side } from "../../codec/merge_codec.ts";
import { BrokenRows, type RowRun, RowSorter } from "../../codec/merge_sort.ts";

export interface ExternalSort {
  /** Where the file goes; it may become as large as the table's text, for very large tables twice that. */
  readonly directory: string;
  /** Bytes of memory, about; 8 MiB a side unless told. */
  readonly memoryBytes?: number;
}

export interface SortedRows extends ExternalSort {
  readonly keyOrders: readonly KeyOrder[];
  /** For messages. */
  readonly table: string;
  readonly side: Side;
}

const MEMORY_BYTES = 8 << 20;
/** Below this every row would be a run. */
export const SORT_MEMORY_MIN = 64 << 10;
/** Of both sides: a WebAssembly memory ends at 4 GiB. */
const SORT_MEMORY_MAX = 2 ** 32;
/** Runs that are merged at a time. */
const RUNS_MAX = 64;

const UNITS: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/**
 * Reads a memory setting: `64MB`, `1g`; units are powers of two.
 * @throws {SkyqError} `usage`
 */
export function parseSortMemory(text: string): number {
  const [, number = "0", unit = ""] = /^\s*(\d+(?:\.\d+)?)\s*([kmg]?)i?b?\s*$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * UNITS[unit.toLowerCase()]!);
  if (bytes >= 2 * SORT_MEMORY_MIN && bytes <= SORT_MEMORY_MAX) return bytes;
  throw new SkyqError("usage", `Cannot read option "--sort-bufsize": "${text}" is no size from 128kB to 4GB`, {
    hint: "Write 64MB, for example: half of it is for each side.",
  });
}

/**
 * Sorts rows that come as CopyData frames cut anywhere, and gives them as such. Each piece is lent until the next is
 * asked for. Leaving the loop early leaves `chunks` as well.
 * @throws {SkyqError} `config` (the directory is not there, not writable or full), `protocol` (no stream of rows), or
 *   what `chunks` throws
 */
export async function* sortRows(
  chunks: AsyncIterable<Uint8Array>,
  options: SortedRows,
): AsyncGenerator<Uint8Array, void, void> {
  const memoryBytes = Math.max(SORT_MEMORY_MIN, options.memoryBytes ?? MEMORY_BYTES);
  using file = new SpillFile(options);
  try {
    const sorter = new RowSorter({ keyOrders: options.keyOrders, memoryBytes });
    let runs: RowRun[] = [];
    for await (const chunk of chunks) {
      for (let taken = 0; taken < chunk.length;) {
        taken += sorter.push(chunk.subarray(taken));
        if (taken < chunk.length) runs.push(await file.write(sorter.largestRow, sorter.sorted()));
      }
    }
    while (!sorter.end()) runs.push(await file.write(sorter.largestRow, sorter.sorted()));
    if (runs.length === 0) {
      yield* sorter.sorted();
      return;
    }
    runs.push(await file.write(sorter.largestRow, sorter.sorted()));
    while (runs.length > RUNS_MAX) {
      const merged = runs.slice(0, RUNS_MAX);
      const largestRow = Math.max(...merged.map((run) => run.largestRow));
      runs = [...runs.slice(RUNS_MAX), await file.write(largestRow, sorter.merged(merged))];
    }
    yield* sorter.merged(runs);
  } catch (error) {
    if (!(error instanceof BrokenRows)) throw error;
    throw badStream(`Cannot sort rows of table "${options.table}"`, options.side);
  }
}

/** One file for all runs of one sort, made when the first is written. */
class SpillFile implements Disposable {
  readonly #act: string;
  readonly #directory: string;
  #file: Deno.FsFile | null = null;
  #size = 0;
  #scratch = new Uint8Array(0);

  constructor({ table, side, directory }: SortedRows) {
    this.#act = `Cannot sort the ${side}'s rows of table "${table}" in "${directory}"`;
    this.#directory = directory;
  }

  /** Appends a run. */
  async write(largestRow: number, pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<RowRun> {
    const file = this.#file ??= this.#open();
    const start = this.#size;
    for await (const lent of pieces) {
      // The module's memory is not for the system to read while we go on.
      if (this.#scratch.length < lent.length) this.#scratch = new Uint8Array(lent.length);
      this.#scratch.set(lent);
      const piece = this.#scratch.subarray(0, lent.length);
      try {
        // Reads of other runs move the position.
        await file.seek(this.#size, Deno.SeekMode.Start);
        for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
      } catch (error) {
        throw this.#failed(error);
      }
      this.#size += piece.length;
    }
    return this.#run(file, start, this.#size, largestRow);
  }

  #run(file: Deno.FsFile, start: number, end: number, largestRow: number): RowRun {
    let at = start;
    return {
      largestRow,
      read: async (into) => {
        const wanted = into.subarray(0, Math.min(into.length, end - at));
        if (wanted.length === 0) return 0;
        try {
          await file.seek(at, Deno.SeekMode.Start);
          const size = await file.read(wanted);
          if (size === null) throw new Error("the file ends too early");
          at += size;
          return size;
        } catch (error) {
          throw this.#failed(error);
        }
      },
    };
  }

  #open(): Deno.FsFile {
    const path = join(this.#directory, `skyq-sort-${Deno.pid}-${crypto.randomUUID()}`);
    try {
      const file = Deno.openSync(path, { read: true, write: true, createNew: true, mode: 0o600 });
      Deno.removeSync(path);
      return file;
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #failed(error: unknown): SkyqError {
    const isFull = error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
    const found = isFull ? "no space left there" : messageOf(error);
    return new SkyqError("config", `${this.#act}: ${found}`, {
      hint: "Choose a directory with room for the table's text, or let the server sort.",
      cause: error,
    });
  }

  [Symbol.dispose](): void {
    this.#file?.close();
  }
}
