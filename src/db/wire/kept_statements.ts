/** A text that came so often comes again. */
const NAMED_FROM_USE = 3;
/** Texts that are counted; when there are more they are not the same few again and again, and counting starts anew. */
const COUNTED_MAX = 200;
const KEPT_MAX = 60;

interface Statement {
  uses: number;
  name: string;
  /** `asked`: the Parse that names it is on its way. `never`: it failed once, and who knows why. */
  state: "counted" | "asked" | "kept" | "never";
}

/** Which statements of a session the server has been told to keep, and under which names. */
export class KeptStatements {
  readonly #isOn: boolean;
  readonly #statements = new Map<string, Statement>();
  #nameCount = 0;

  constructor(isOn: boolean) {
    this.#isOn = isOn;
  }

  /**
   * A statement is about to be sent.
   * @returns `isKept`: the server knows it under `name`. Else it is to be parsed under that name, "" for none; `keep` or
   * `forget` has to follow then, as it does for one that is kept.
   */
  use(text: string): { name: string; isKept: boolean } {
    const none = { name: "", isKept: false };
    if (!this.#isOn) return none;
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      if (this.#statements.size >= COUNTED_MAX) this.#forgetCounted();
      this.#statements.set(text, statement = { uses: 0, name: "", state: "counted" });
    }
    statement.uses++;
    if (statement.state === "kept") return { name: statement.name, isKept: true };
    // While the answer is awaited others come without a name: nobody knows yet whether there will be one.
    if (statement.state !== "counted" || statement.uses < NAMED_FROM_USE || this.#nameCount >= KEPT_MAX) return none;
    statement.state = "asked";
    statement.name = `skyq_kept_${++this.#nameCount}`;
    return { name: statement.name, isKept: false };
  }

  /** It went well. */
  keep(text: string): void {
    const statement = this.#statements.get(text);
    if (statement?.state === "asked") statement.state = "kept";
  }

  /**
   * It failed: perhaps the name is not there, or what was kept does not fit any more (a function that returns other
   * columns now). From now on it is sent as a new one each time.
   */
  forget(text: string): void {
    const statement = this.#statements.get(text);
    if (statement !== undefined) statement.state = "never";
  }

  #forgetCounted(): void {
    for (const [text, { state }] of this.#statements) if (state === "counted") this.#statements.delete(text);
  }
}
