/**
 * Plain readers of what the codec writes, for tests. Bytes are kept as Latin-1 strings, one character per byte, so that
 * every byte can be told apart.
 */

export type Value = string | null;

const latin1 = (bytes: Uint8Array): string => {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
};

/** Rows of COPY text. */
export function readCopyRows(bytes: Uint8Array): Value[][] {
  const unescaped: Record<string, string> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };
  const text = latin1(bytes);
  if (text === "") return [];
  if (!text.endsWith("\n")) throw new Error("The last COPY line has no end");
  return text.slice(0, -1).split("\n").map((line) =>
    line.split("\t").map((field) =>
      field === "\\N" ? null : field.replace(/\\([^])/g, (_, letter: string) => unescaped[letter] ?? letter)
    )
  );
}

export interface BindMessage {
  statement: string;
  /** Values of text format; arrays are read by {@link readArray}. */
  params: (Uint8Array | null)[];
}

/** Reads Bind messages, each followed by Execute, and checks everything about them that the server would. */
export function readBinds(bytes: Uint8Array): BindMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const binds: BindMessage[] = [];
  let at = 0;
  const text = (): string => {
    const end = bytes.indexOf(0, at);
    const value = latin1(bytes.subarray(at, end));
    at = end + 1;
    return value;
  };
  const expectByte = (letter: string) => {
    if (bytes[at++] !== letter.charCodeAt(0)) throw new Error(`No "${letter}" at ${at - 1}`);
  };
  while (at < bytes.length) {
    expectByte("B");
    const end = at + view.getUint32(at);
    at += 4;
    if (text() !== "") throw new Error("Not the unnamed portal");
    const statement = text();
    const formatCount = view.getUint16(at);
    at += 2 + 2 * formatCount;
    const params: (Uint8Array | null)[] = [];
    const paramCount = view.getUint16(at);
    at += 2;
    for (let i = 0; i < paramCount; i++) {
      const size = view.getInt32(at);
      at += 4;
      params.push(size < 0 ? null : bytes.slice(at, at + size));
      at += Math.max(size, 0);
    }
    if (view.getUint16(at) !== 0) throw new Error("Result formats are given");
    at += 2;
    if (at !== end) throw new Error(`Bind ends at ${at}, its size says ${end}`);
    expectByte("E");
    if (view.getUint32(at) !== 9) throw new Error("Execute has not 9 bytes");
    at += 4;
    if (text() !== "" || view.getUint32(at) !== 0) throw new Error("Execute is not of all rows of the unnamed portal");
    at += 4;
    binds.push({ statement, params });
  }
  return binds;
}

/** A value of text format. */
export function readText(param: Uint8Array | null): Value {
  return param === null ? null : latin1(param);
}

/** A binary `text[]` of one dimension. */
export function readArray(param: Uint8Array | null): Value[] {
  if (param === null) throw new Error("The array is NULL");
  const view = new DataView(param.buffer, param.byteOffset, param.byteLength);
  const [dimensions, hasNull, oid, count, lowerBound] = [0, 4, 8, 12, 16].map((at) => view.getInt32(at));
  if (dimensions !== 1 || oid !== 25 || lowerBound !== 1) throw new Error("Not a text[] of one dimension from 1");
  const values: Value[] = [];
  let at = 20;
  for (let i = 0; i < count!; i++) {
    const size = view.getInt32(at);
    at += 4;
    values.push(size < 0 ? null : latin1(param.subarray(at, at + size)));
    at += Math.max(size, 0);
  }
  if (at !== param.length) throw new Error("Bytes are left behind the array");
  if (hasNull !== Number(values.includes(null))) throw new Error(`The array's null flag is ${hasNull}`);
  return values;
}

/** Rows of the parameters of one statement over arrays. */
export function readArrayRows(bind: BindMessage): Value[][] {
  const columns = bind.params.map(readArray);
  return (columns[0] ?? []).map((_, row) => columns.map((column) => column[row]!));
}
