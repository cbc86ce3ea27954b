/**
 * A file of statements that mend a table, or take that back, in an order in which the server can take them.
 *
 *     table without rules beyond its key     all statements as they come
 *     others    NAME.part     deletes, and updates that touch no rule  ─┐
 *               NAME.2.part   updates that do, each with what it holds  ├─ put together in the end
 *               NAME.3.part   inserts                                  ─┘
 *
 * So memory stays bounded, and what is there can be put together as well when the process was killed.
 */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { exists, StatementFile, UNDO_HEAD } from "./files.ts";
import { fixStatement, statementsByWayOf } from "./fix.ts";
import type { Layout } from "./layout.ts";
import { Asides, holdingOf, rulesTaken, turnsOf, type UniqueRule, type Wait } from "./unique_rules.ts";
import type { Difference } from "./walk.ts";

/** Bytes of each of a script's files. */
export type ScriptSizes = readonly number[];

/** An update as it stands in the second file: a line of JSON, and the statements behind it. */
interface ChangeHead {
  /** What it holds, and what it wants: rows with the same one clash. */
  readonly holds: readonly string[];
  readonly wants: readonly string[];
  /** It may clash with anything: nobody can tell from the texts. */
  readonly isUnsure: boolean;
  readonly isDeferrable: boolean;
  readonly isReferenced: boolean;
  /** Of the statement; of the one that sets the row aside, and of the one behind it, or 0. */
  readonly sizes: readonly [number, number, number];
}

interface Change extends ChangeHead {
  readonly plain: Uint8Array;
  readonly aside: Uint8Array;
  readonly then: Uint8Array;
}

/** Updates that stand in each other's way are put in an order in memory; more of them are all set aside. */
const ORDERED_BYTES_MAX = 8 << 20;

export class Script {
  readonly #files: readonly StatementFile[];
  readonly #layout: Layout;
  readonly #rules: readonly UniqueRule[];
  readonly #asides = new Asides();
  readonly #end: string;

  /** @param end last lines of the file; `preamble` are the first */
  constructor(dir: string, name: string, { preamble, end, layout, rules }: {
    preamble: string;
    end: string;
    layout: Layout;
    rules: readonly UniqueRule[];
  }) {
    this.#end = end;
    this.#files = filesOf(dir, name, preamble, rules.length > 0);
    this.#layout = layout;
    this.#rules = rules;
  }

  get path(): string {
    return this.#files[0]!.path;
  }

  /** @returns false when no statement mends that */
  write(difference: Difference): boolean {
    const statement = fixStatement(this.#layout, difference);
    if (statement === null) return false;
    const [main, changes, inserts] = this.#files;
    if (changes !== undefined && main!.isEmpty) {
      // Whoever finds the others without it could not tell what they are.
      main!.write(NOTHING);
      main!.flush();
    }
    if (changes === undefined || difference.kind === "delete") main!.write(statement);
    else if (difference.kind === "insert") inserts!.write(statement);
    else {
      const taken = rulesTaken(this.#rules, difference);
      if (taken.length === 0) main!.write(statement);
      else changes.write(this.#changeOf(difference, taken, statement));
    }
    return true;
  }

  #changeOf(difference: Difference, taken: readonly UniqueRule[], plain: Uint8Array): Uint8Array {
    const atOnce = taken.filter(({ isDeferrable }) => !isDeferrable);
    const exact = atOnce.filter(({ isExact }) => isExact);
    const ids = (row: Difference["source"]) => exact.flatMap((rule) => holdingOf(this.#rules, rule, row!) ?? []);
    const between = atOnce.length === 0 ? null : this.#asides.setAside(atOnce, difference.target!);
    const byWay = between && statementsByWayOf(this.#layout, difference, between);
    const head: ChangeHead = {
      holds: ids(difference.target),
      wants: ids(difference.source),
      isUnsure: exact.length < atOnce.length,
      isDeferrable: atOnce.length < taken.length,
      isReferenced: atOnce.some(({ isReferenced }) => isReferenced),
      sizes: [plain.length, byWay?.aside.length ?? 0, byWay?.then.length ?? 0],
    };
    return Buffer.concat([
      Buffer.from(`${JSON.stringify(head)}\n`),
      plain,
      byWay?.aside ?? new Uint8Array(0),
      byWay?.then ?? new Uint8Array(0),
    ]);
  }

  /** Goes on behind what these sizes say. @throws {SkyqError} `not-found` */
  resume(sizes: ScriptSizes): void {
    this.#files.forEach((file, n) => file.resume(sizes[n] ?? 0));
  }

  /** Hands everything to the system. @throws {SkyqError} `refused` (the disk is full, …) */
  flush(): ScriptSizes {
    return this.#files.map((file) => file.flush());
  }

  /** Forgets all behind what these sizes say. */
  truncate(sizes: ScriptSizes): void {
    this.#files.forEach((file, n) => file.truncate(sizes[n] ?? 0));
  }

  /** Puts the file together and gives it its name. @returns its path, null when nothing was written */
  finish(): string | null {
    return finish(this.#files, this.flush(), this.#end);
  }

  /** Closes it; what there is of it is removed, unless somebody will go on with it. */
  giveUp({ isKept }: { isKept: boolean }): void {
    for (const file of this.#files) file.giveUp({ isKept });
  }
}

const NOTHING = new Uint8Array(0);

function filesOf(dir: string, name: string, preamble: string, isInThree: boolean): StatementFile[] {
  const names = isInThree ? [name, `${name}.2`, `${name}.3`] : [name];
  return names.map((one, n) => new StatementFile(dir, one, n === 0 ? preamble : ""));
}

/** Removes what an earlier run has left. @returns whether it was complete */
export function clearScript(dir: string, name: string): boolean {
  return filesOf(dir, name, "", true).map((file) => file.clear())[0]!;
}

/**
 * Puts older undo files out of the way: `undo.t.sql` becomes `undo.t.sql.~1~`, or the next number that is free; so does
 * what a run that was killed has left, if it had applied anything.
 */
export function keepOlder(dir: string, name: string): void {
  const path = join(dir, name);
  const putAway = () => {
    if (!exists(path)) return;
    let n = 1;
    while (exists(`${path}.~${n}~`)) n++;
    Deno.renameSync(path, `${path}.~${n}~`);
  };
  putAway();
  const files = filesOf(dir, name, "", true);
  if (!files[0]!.partBegins("") || files[0]!.partBegins(UNDO_HEAD.fixFile)) {
    return void files.forEach((file) => file.clear());
  }
  finish(files, files.map((file) => file.resumeAll()));
  putAway();
}

/** @param sizes all is on the disk */
function finish([main, changes, inserts]: readonly StatementFile[], sizes: ScriptSizes, end = ""): string | null {
  if (changes !== undefined && sizes[1]! > 0) writeChanges(changes, main!);
  if (inserts !== undefined && sizes[2]! > 0) { for (const piece of inserts.read()) main!.write(piece); }
  if (end !== "" && !main!.isEmpty) main!.write(text(end));
  const path = main!.finish();
  changes?.giveUp({ isKept: false });
  inserts?.giveUp({ isKept: false });
  return path;
}

/** Updates that touch rules: rows set aside first where they would wait for each other, then all in their turns. */
function writeChanges(from: StatementFile, to: StatementFile): void {
  // Who wants what can be read twice as well as remembered. A row that is held for wanted by mistake does no harm.
  const wanted = new Bloom();
  let isDeferrable = false;
  for (const change of readChanges(from)) {
    for (const id of change.wants) wanted.add(id);
    isDeferrable ||= change.isDeferrable;
  }
  const isHeld = ({ holds, isUnsure }: Change) => isUnsure || holds.some((id) => wanted.has(id));
  let held: Change[] | null = [];
  let bytes = 0;
  let isReferenced = false;
  for (const change of readChanges(from)) {
    if (!isHeld(change)) continue;
    isReferenced ||= change.isReferenced && change.aside.length > 0;
    bytes += change.plain.length + change.aside.length + change.then.length;
    if (bytes > ORDERED_BYTES_MAX) held = null;
    held?.push(change);
  }
  const turns = held && turnsOfChanges(held);
  const begin = (hasAside: boolean) => {
    if (!hasAside && !isDeferrable) return false;
    to.write(text("begin;\n"));
    if (hasAside && isReferenced) {
      to.write(text(
        "-- Foreign keys refer to rows that are set aside for a moment: they must not follow.\n" +
          "set local session_replication_role = replica;\n",
      ));
    }
    if (isDeferrable) to.write(text("set constraints all deferred;\n"));
    return true;
  };
  let hasBegun: boolean;
  if (held !== null && turns !== null) {
    hasBegun = begin(turns.aside.size > 0);
    for (const row of turns.aside) to.write(held[row]!.aside);
    for (const row of turns.order) to.write(turns.aside.has(row) ? held[row]!.then : held[row]!.plain);
  } else {
    hasBegun = begin(true);
    for (const change of readChanges(from)) if (isHeld(change)) to.write(change.aside);
    for (const change of readChanges(from)) {
      if (isHeld(change)) to.write(change.then.length > 0 ? change.then : change.plain);
    }
  }
  for (const change of readChanges(from)) if (!isHeld(change)) to.write(change.plain);
  if (hasBegun) to.write(text("commit;\n"));
}

function turnsOfChanges(held: readonly Change[]): { aside: Set<number>; order: number[] } {
  const holders = new Map<string, number[]>();
  held.forEach(({ holds }, row) => {
    for (const id of holds) holders.set(id, [...holders.get(id) ?? [], row]);
  });
  const waits = held.flatMap(({ wants }, row) =>
    wants.flatMap((id) => (holders.get(id) ?? []).map((holder): Wait => [row, holder]))
  );
  const canSetAside = (row: number) => held[row]!.aside.length > 0;
  const unsure = held.flatMap(({ isUnsure }, row) => isUnsure && canSetAside(row) ? [row] : []);
  const isUnsure = new Set(unsure);
  const { aside, order } = turnsOf(held.length, waits.filter(([, holder]) => !isUnsure.has(holder)), canSetAside);
  return { aside: new Set([...unsure, ...aside]), order };
}

function* readChanges(file: StatementFile): Generator<Change, void, void> {
  // A change may be of many pieces: these are put together once, when all are there.
  let pieces: Uint8Array[] = [];
  let size = 0;
  let wanted = 0;
  for (const piece of file.read()) {
    pieces.push(piece);
    size += piece.length;
    if (size < wanted) continue;
    let rest: Uint8Array = pieces.length === 1 ? piece : Buffer.concat(pieces);
    for (;;) {
      const lineEnd = rest.indexOf(0x0a);
      wanted = 0;
      if (lineEnd < 0) break;
      const head: ChangeHead = JSON.parse(new TextDecoder().decode(rest.subarray(0, lineEnd)));
      const starts = [lineEnd + 1];
      for (const size of head.sizes) starts.push(starts.at(-1)! + size);
      wanted = starts[3]!;
      if (wanted > rest.length) break;
      const [plain, aside, then] = head.sizes.map((_, n) => rest.slice(starts[n], starts[n + 1]));
      yield { ...head, plain: plain!, aside: aside!, then: then! };
      rest = rest.subarray(wanted);
    }
    pieces = [rest];
    size = rest.length;
  }
}

function text(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A set that forgets nothing, and remembers now and then what was never in it. */
class Bloom {
  readonly #bits = new Uint32Array(1 << 18);

  add(id: string): void {
    for (const bit of this.#places(id)) this.#bits[bit >>> 5]! |= 1 << (bit & 31);
  }

  has(id: string): boolean {
    return this.#places(id).every((bit) => (this.#bits[bit >>> 5]! & (1 << (bit & 31))) !== 0);
  }

  /** Ids are hashes already. */
  #places(id: string): number[] {
    const bytes = Buffer.from(id, "base64");
    return [0, 3, 6, 9].map((at) => bytes.readUIntLE(at, 3) & ((1 << 23) - 1));
  }
}
