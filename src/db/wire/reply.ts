/**
 * What is expected from the server. A connection keeps these in a queue; each lives from the moment its request is sent
 * to the ReadyForQuery that ends its answer.
 */
import type { SkyqError } from "../../base/errors.ts";
import type { ServerFields } from "../errors.ts";
import { type Column, decodeText, HEADER_SIZE, readColumns, readRow, TAG, viewOf } from "./messages.ts";
import { decodeValue } from "./values.ts";

/** A promise that may fail without anybody looking. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;

  constructor() {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    promise.catch(() => {});
    this.promise = promise;
    this.resolve = resolve;
    this.reject = reject;
  }
}

/** Makes an error of what the server said about this request. */
export type Translate = (fields: ServerFields) => SkyqError;

/** A reply as the connection's queue sees it. */
export interface Pending {
  /** One message; its body is bytes[start, end), valid only during the call. @returns false if it may not come here */
  onMessage(tagByte: number, bytes: Uint8Array, start: number, end: number): boolean;
  onServerError(fields: ServerFields): void;
  onReady(): void;
  /** The connection ended: nothing more will come. */
  onLost(error: SkyqError): void;
}

/** Base of all: keeps the first error, and ends with ReadyForQuery or the connection. */
export abstract class Reply<T> implements Pending {
  error: unknown = null;
  isDone = false;
  readonly #done = new Deferred<T>();
  readonly #translate: Translate;

  constructor(translate: Translate) {
    this.#translate = translate;
  }

  /** Resolves or rejects after the server is ready for the next request. */
  get done(): Promise<T> {
    return this.#done.promise;
  }

  abstract onMessage(tagByte: number, bytes: Uint8Array, start: number, end: number): boolean;

  /** The value when all went well. */
  protected abstract result(): T;

  onServerError(fields: ServerFields): void {
    this.error ??= this.#translate(fields);
    this.onFailed();
  }

  /** Called at once when the request has failed, before the server is ready again. */
  onFailed(): void {}

  onReady(): void {
    this.isDone = true;
    if (this.error !== null) this.#done.reject(this.error);
    else this.#done.resolve(this.result());
  }

  onLost(error: SkyqError): void {
    // A fatal error that was told to this request says more than the end of the stream after it.
    this.error ??= error;
    this.onFailed();
    this.isDone = true;
    this.#done.reject(this.error);
  }
}

/** Command tags come by the thousand and alike: the string is made again only when the bytes change. */
class TagReader {
  #bytes = new Uint8Array(64);
  #size = -1;
  #text = "";

  read(bytes: Uint8Array, start: number, end: number): string {
    const size = Math.max(0, end - start - 1);
    if (size === this.#size) {
      let index = 0;
      while (index < size && this.#bytes[index] === bytes[start + index]) index++;
      if (index === size) return this.#text;
    }
    this.#text = decodeText(bytes, start, start + size);
    if (size <= this.#bytes.length) {
      this.#bytes.set(bytes.subarray(start, start + size));
      this.#size = size;
    } else {
      this.#size = -1;
    }
    return this.#text;
  }
}

/** The number at the end of a command tag. @example rowCountOf("COPY 12") === 12 */
export function rowCountOf(commandTag: string): number {
  return Number(/(\d+)$/.exec(commandTag)?.[1] ?? 0);
}

/**
 * Gets the connection out of a COPY FROM STDIN that nobody asked for with `copyIn`.
 * @param isSynced the request's Sync is under way already: the server passes over it inside the COPY, and needs another
 */
export type CopyEscape = (isSynced: boolean) => void;

const NOT_A_PLACE_FOR_COPY = "COPY to or from the client needs copyOut or copyIn";

/** Rows of one statement, decoded. */
export class QueryReply<Row> extends Reply<Row[]> {
  #columns: Column[] = [];
  readonly #rows: Row[] = [];

  constructor(translate: Translate, private readonly escape: CopyEscape) {
    super(translate);
  }

  onMessage(tagByte: number, bytes: Uint8Array, start: number, end: number): boolean {
    switch (tagByte) {
      case TAG.dataRow: {
        const row: Record<string, unknown> = {};
        const values = readRow(bytes, start, end);
        for (let index = 0; index < this.#columns.length; index++) {
          const { name, typeOid } = this.#columns[index]!;
          const text = values[index] ?? null;
          row[name] = text === null ? null : decodeValue(typeOid, text);
        }
        this.#rows.push(row as Row);
        return true;
      }
      case TAG.rowDescription:
        this.#columns = readColumns(bytes, start, end);
        return true;
      case TAG.copyIn:
        this.error ??= new Error(NOT_A_PLACE_FOR_COPY);
        this.escape(true);
        return true;
      case TAG.copyOut:
        this.error ??= new Error(NOT_A_PLACE_FOR_COPY);
        return true;
      case TAG.parseComplete:
      case TAG.bindComplete:
      case TAG.noData:
      case TAG.commandComplete:
      case TAG.emptyQuery:
      case TAG.copyData:
      case TAG.copyDone:
        return true;
      default:
        return false;
    }
  }

  protected result(): Row[] {
    return this.#rows;
  }
}

/** Command tags of one simple query or of one run of pipelined messages; rows are passed over. */
export class TagsReply extends Reply<string[]> {
  readonly tags: string[] = [];
  /** Set when the Sync that ends the run has been sent. */
  isSynced = false;
  /** Those of the run's `prepare` calls that are not answered yet, in order. */
  readonly prepares: Deferred<void>[] = [];
  readonly #reader = new TagReader();

  constructor(translate: Translate, private readonly escape: CopyEscape) {
    super(translate);
  }

  onMessage(tagByte: number, bytes: Uint8Array, start: number, end: number): boolean {
    switch (tagByte) {
      case TAG.commandComplete:
        this.tags.push(this.#reader.read(bytes, start, end));
        return true;
      case TAG.emptyQuery:
      case TAG.portalSuspended:
        this.tags.push("");
        return true;
      case TAG.parseComplete:
        this.prepares.shift()?.resolve();
        return true;
      case TAG.copyIn:
        this.error ??= new Error(NOT_A_PLACE_FOR_COPY);
        this.escape(this.isSynced);
        return true;
      case TAG.copyOut:
        this.error ??= new Error(NOT_A_PLACE_FOR_COPY);
        return true;
      case TAG.bindComplete:
      case TAG.closeComplete:
      case TAG.noData:
      case TAG.parameterDescription:
      case TAG.rowDescription:
      case TAG.dataRow:
      case TAG.copyData:
      case TAG.copyDone:
        return true;
      default:
        return false;
    }
  }

  protected result(): string[] {
    return this.tags;
  }

  override onFailed(): void {
    for (const prepare of this.prepares.splice(0)) prepare.reject(this.error);
  }
}

/** COPY … TO STDOUT: hands runs of CopyData from the reader to the one who iterates, one at a time. */
export class CopyOutReply extends Reply<void> {
  /** Between CopyOutResponse and CopyDone: runs of frames go past `onMessage`, straight to `lend`. */
  isStreaming = false;
  #isDropping = false;
  #isCopy = false;
  #demand: Deferred<Uint8Array | null> | null = null;
  #taken: Deferred<void> | null = null;
  #run: Uint8Array | null = null;

  onMessage(tagByte: number): boolean {
    switch (tagByte) {
      case TAG.copyOut:
        this.isStreaming = true;
        this.#isCopy = true;
        return true;
      case TAG.copyDone:
        this.isStreaming = false;
        return true;
      case TAG.commandComplete:
      case TAG.emptyQuery:
      case TAG.rowDescription:
      case TAG.dataRow:
        if (!this.#isCopy) this.error ??= new Error("copyOut needs a COPY … TO STDOUT statement");
        return true;
      default:
        return false;
    }
  }

  /**
   * Called by the reader. Resolves as soon as the one who iterates has taken `run`, which is when he has finished with
   * the run before: the reader may then fill the buffer of that one.
   */
  lend(run: Uint8Array): Promise<void> | null {
    if (this.#isDropping) return null;
    if (this.#demand !== null) {
      this.#demand.resolve(run);
      this.#demand = null;
      return null;
    }
    this.#run = run;
    this.#taken = new Deferred();
    return this.#taken.promise;
  }

  /** Called by the one who iterates. @returns null at the end. @throws the error that ended the COPY */
  next(): Promise<Uint8Array | null> {
    if (this.#run !== null) {
      const run = this.#run;
      this.#run = null;
      this.#taken!.resolve();
      return Promise.resolve(run);
    }
    if (this.isDone) return this.done.then(() => null);
    this.#demand = new Deferred();
    return this.#demand.promise;
  }

  /** From here on runs are thrown away. */
  drop(): void {
    this.#isDropping = true;
    this.#run = null;
    this.#taken?.resolve();
  }

  override onReady(): void {
    super.onReady();
    this.#settle();
  }

  override onLost(error: SkyqError): void {
    super.onLost(error);
    this.#settle();
  }

  protected result(): void {}

  override onFailed(): void {
    this.isStreaming = false;
  }

  #settle(): void {
    this.#run = null;
    this.#taken?.resolve();
    if (this.error !== null) this.#demand?.reject(this.error);
    else this.#demand?.resolve(null);
    this.#demand = null;
  }
}

/** COPY … FROM STDIN. */
export class CopyInReply extends Reply<number> {
  /** Resolves when the server is ready to take data. */
  readonly started = new Deferred<void>();
  #rowCount = 0;
  #isCopy = false;

  onMessage(tagByte: number, bytes: Uint8Array, start: number, end: number): boolean {
    switch (tagByte) {
      case TAG.copyIn:
        this.#isCopy = true;
        this.started.resolve();
        return true;
      case TAG.commandComplete:
        this.#rowCount = rowCountOf(decodeText(bytes, start, end - 1));
        this.#checkCopy();
        return true;
      case TAG.emptyQuery:
      case TAG.rowDescription:
      case TAG.dataRow:
      case TAG.copyOut:
      case TAG.copyData:
      case TAG.copyDone:
        this.#checkCopy();
        return true;
      default:
        return false;
    }
  }

  #checkCopy(): void {
    if (!this.#isCopy) this.error ??= new Error("copyIn needs a COPY … FROM STDIN statement");
  }

  override onReady(): void {
    super.onReady();
    if (this.error !== null) this.started.reject(this.error);
  }

  override onLost(error: SkyqError): void {
    super.onLost(error);
    this.started.reject(this.error);
  }

  protected result(): number {
    return this.#rowCount;
  }
}

/**
 * Walks runs of CopyData frames that may be cut anywhere, to know where a frame ends.
 *
 *     d │ int32 length, itself included │ length - 4 bytes
 */
export class FrameWalker {
  /** Bytes of the current frame's body that are still to come. */
  bodyLeft = 0;
  /** Bytes of a header that the last run cut off, 0 to 4. */
  headerHave = 0;
  #length = 0;

  get isBetweenFrames(): boolean {
    return this.bodyLeft === 0 && this.headerHave === 0;
  }

  /** Walks over all of `bytes`. @throws {Error} when they are no CopyData frames */
  walk(bytes: Uint8Array): void {
    const view = viewOf(bytes);
    const end = bytes.length;
    let at = 0;
    while (at < end) {
      if (this.bodyLeft > 0) {
        const step = Math.min(this.bodyLeft, end - at);
        this.bodyLeft -= step;
        at += step;
      } else if (this.headerHave === 0 && end - at >= HEADER_SIZE) {
        if (bytes[at] !== TAG.copyData) throw new Error("writeFrames needs CopyData frames");
        this.#begin(view.getInt32(at + 1));
        at += HEADER_SIZE;
      } else {
        const byte = bytes[at++]!;
        if (this.headerHave === 0 && byte !== TAG.copyData) throw new Error("writeFrames needs CopyData frames");
        if (this.headerHave > 0) this.#length = (this.#length << 8) | byte;
        this.headerHave++;
        if (this.headerHave === HEADER_SIZE) {
          const length = this.#length;
          this.headerHave = 0;
          this.#length = 0;
          this.#begin(length);
        }
      }
    }
  }

  /** The bytes that end a frame which was begun and will not come: the server must find the next message's begin. */
  completion(): Uint8Array<ArrayBuffer> {
    if (this.headerHave === 0) return new Uint8Array(this.bodyLeft);
    const missing = HEADER_SIZE - this.headerHave;
    const length = Math.max(4, this.#length * 2 ** (8 * missing));
    const bytes = new Uint8Array(missing + length - 4);
    for (let index = 0; index < missing; index++) bytes[missing - 1 - index] = (length >>> (8 * index)) & 0xff;
    return bytes;
  }

  #begin(length: number): void {
    if (length < 4) throw new Error("writeFrames needs CopyData frames");
    this.bodyLeft = length - 4;
  }
}
