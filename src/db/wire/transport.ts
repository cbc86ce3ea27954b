/** A byte stream to a server: what `Deno.Conn` is, and what TLS makes of it. */
import type { Duplex } from "node:stream";

export interface Transport {
  /** Fills the front of `into`. @returns bytes read, null at the end of the stream */
  read(into: Uint8Array): Promise<number | null>;
  /** May write less than all. `bytes` are lent until the promise is settled. @returns bytes written */
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

/** Writes all of `bytes`, however often the system takes only a part. */
export async function writeAll(transport: Transport, bytes: Uint8Array): Promise<void> {
  let at = 0;
  while (at < bytes.length) at += await transport.write(at === 0 ? bytes : bytes.subarray(at));
}

/** Closes a transport that may be closed already. */
export function closeQuietly(transport: { close(): void }): void {
  try {
    transport.close();
  } catch {
    // closed before
  }
}

/** A Node stream as a transport: pulls blocks and hands them on in the pieces asked for. */
export function fromNodeStream(stream: Duplex): Transport {
  let block: Uint8Array | null = null;
  let failure: Error | null = null;
  let isEnded = false;
  let wake: (() => void) | null = null;
  const onChange = () => {
    wake?.();
    wake = null;
  };
  stream.on("readable", onChange);
  stream.on("end", () => {
    isEnded = true;
    onChange();
  });
  stream.on("close", () => {
    isEnded = true;
    onChange();
  });
  stream.on("error", (error: Error) => {
    failure = error;
    onChange();
  });
  return {
    async read(into) {
      while (block === null) {
        block = stream.read() as Uint8Array | null;
        if (block !== null) break;
        if (failure !== null) throw failure;
        if (isEnded) return null;
        await new Promise<void>((resolve) => wake = resolve);
      }
      const size = Math.min(into.length, block.length);
      into.set(size === block.length ? block : block.subarray(0, size));
      block = size === block.length ? null : block.subarray(size);
      return size;
    },
    write(bytes) {
      return new Promise((resolve, reject) => {
        if (failure !== null) return reject(failure);
        // The callback of a write comes only with the next turn of the stream's own machinery; a closed stream never
        // calls it, hence the listener.
        const onClose = () => reject(failure ?? new Deno.errors.BrokenPipe("stream closed"));
        stream.once("close", onClose);
        stream.write(bytes, (error) => {
          stream.off("close", onClose);
          if (error) reject(error);
          else resolve(bytes.length);
        });
      });
    },
    close() {
      stream.destroy();
    },
  };
}
