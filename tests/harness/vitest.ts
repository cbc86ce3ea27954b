/**
 * The names of `vitest` over `Deno.test`, so that tests read and run as vitest tests without vitest. deno.json maps
 * "vitest" to this file. One `Deno.test` per `it`, named `suite > name`.
 *
 * As in vitest: `before…` hooks run outermost and first-written first, `after…` hooks the other way round, also when a
 * test or a `before…` hook failed; a `before…` hook may return its own clean-up. A failed `beforeAll` fails every test
 * of its suite. Different from vitest: the time limit is 5 minutes, and a suite's body may not be asynchronous.
 */
import { expect as jestExpect } from "expect";
import { ModuleMocker } from "jest-mock";
import { format } from "node:util";

type MaybePromise<T> = T | PromiseLike<T>;
export type TestFn = () => MaybePromise<unknown>;
type Cleanup = () => MaybePromise<unknown>;
/** A hook; what a `before…` hook returns is called as its clean-up if it is a function. */
export type Hook = () => MaybePromise<unknown>;
export interface TestOptions {
  /** Milliseconds until the test counts as failed. */
  timeout?: number;
}

const TIMEOUT_MS = 300_000;

interface LimitedHook {
  readonly run: Hook;
  readonly timeoutMs: number;
}

interface Suite {
  readonly name: string;
  readonly parent: Suite | null;
  readonly mode: Mode;
  readonly beforeAll: LimitedHook[];
  readonly afterAll: LimitedHook[];
  readonly beforeEach: LimitedHook[];
  readonly afterEach: LimitedHook[];
  /** Tests in here and below that have not ended; at 0 the suite closes. A filtered run closes at the file's end. */
  openCount: number;
  /** Set when the first test starts: the outcome of `beforeAll`. */
  opened: { failure: { error: unknown } | null } | null;
}

type Mode = "run" | "skip" | "only";

function newSuite(name: string, parent: Suite | null, mode: Mode): Suite {
  return {
    name,
    parent,
    mode,
    beforeAll: [],
    afterAll: [],
    beforeEach: [],
    afterEach: [],
    openCount: 0,
    opened: null,
  };
}

const root = newSuite("", null, "run");
let current = root;
/** Suites with a `beforeAll` done and `afterAll` not, outermost first. */
const openSuites: Suite[] = [];
/** Clean-ups of the test that is running, see {@link onTestFinished}. */
let finishers: Cleanup[] | null = null;

/** The suites around `suite` and itself, outermost first. */
function pathTo(suite: Suite): Suite[] {
  const path: Suite[] = [];
  for (let s: Suite | null = suite; s !== null; s = s.parent) path.unshift(s);
  return path;
}

async function limited(what: string, run: Hook, timeoutMs: number): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not end within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([(async () => await run())(), expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs every one of `runs`, whatever fails. @returns what was thrown, in order */
async function runAll(what: string, runs: readonly LimitedHook[]): Promise<unknown[]> {
  const errors: unknown[] = [];
  for (const { run, timeoutMs } of runs) {
    try {
      await limited(what, run, timeoutMs);
    } catch (error) {
      errors.push(error);
    }
  }
  return errors;
}

function throwAll(errors: readonly unknown[]): void {
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) {
    const list = errors.map((e) => (e instanceof Error ? e.stack ?? e.message : String(e))).join("\n\n");
    throw new AggregateError(errors, `${errors.length} failures\n${list}`);
  }
}

async function openSuite(suite: Suite): Promise<void> {
  if (suite.opened === null) {
    suite.opened = { failure: null };
    openSuites.push(suite);
    try {
      for (const { run, timeoutMs } of suite.beforeAll) {
        const cleanup = await limited("beforeAll hook", run, timeoutMs);
        if (typeof cleanup === "function") suite.afterAll.push({ run: cleanup as Cleanup, timeoutMs });
      }
    } catch (error) {
      suite.opened.failure = { error };
    }
  }
  if (suite.opened.failure !== null) throw suite.opened.failure.error;
}

async function closeSuite(suite: Suite): Promise<unknown[]> {
  openSuites.splice(openSuites.indexOf(suite), 1);
  return await runAll("afterAll hook", suite.afterAll.toReversed());
}

async function runTest(suite: Suite, fn: TestFn, timeoutMs: number): Promise<void> {
  const path = pathTo(suite);
  const cleanups: LimitedHook[] = [];
  const errors: unknown[] = [];
  let afterEach: LimitedHook[] = [];
  finishers = [];
  try {
    for (const s of path) await openSuite(s);
    afterEach = path.flatMap((s) => s.afterEach).toReversed();
    for (const { run, timeoutMs } of path.flatMap((s) => s.beforeEach)) {
      const cleanup = await limited("beforeEach hook", run, timeoutMs);
      if (typeof cleanup === "function") cleanups.unshift({ run: cleanup as Cleanup, timeoutMs });
    }
    await limited("Test", fn, timeoutMs);
  } catch (error) {
    errors.push(error);
  }
  const own = finishers.toReversed().map((run) => ({ run, timeoutMs: TIMEOUT_MS }));
  finishers = null;
  errors.push(...await runAll("onTestFinished hook", own));
  errors.push(...await runAll("afterEach hook", [...afterEach, ...cleanups]));
  for (const s of path.toReversed()) {
    s.openCount -= 1;
    if (s.openCount === 0 && s.opened !== null) errors.push(...await closeSuite(s));
  }
  throwAll(errors);
}

// With a filter or `only` some tests never run, so no count reaches 0: close what is open when the file ends.
Deno.test.afterAll(async () => {
  const errors: unknown[] = [];
  for (const suite of openSuites.toReversed()) errors.push(...await closeSuite(suite));
  throwAll(errors);
});

function define(mode: Mode, name: string, fn: TestFn, options: TestOptions): void {
  const suite = current;
  const path = pathTo(suite);
  const ignore = mode === "skip" || path.some((s) => s.mode === "skip");
  const only = !ignore && (mode === "only" || path.some((s) => s.mode === "only"));
  if (!ignore) { for (const s of path) s.openCount += 1; }
  Deno.test({
    name: [...path.slice(1).map((s) => s.name), name].join(" > "),
    ignore,
    only,
    // Servers and connections outlive single tests here.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () => runTest(suite, fn, options.timeout ?? TIMEOUT_MS),
  });
}

function defineSuite(mode: Mode, name: string, body: () => unknown): void {
  const outer = current;
  current = newSuite(name, outer, mode);
  try {
    const result = body();
    // Deno wants every test before the module's own code has ended.
    if (result instanceof Promise) throw new TypeError(`Cannot define suite "${name}": its body is asynchronous`);
  } finally {
    current = outer;
  }
}

/**
 * The name of one case of `each`: `%s`, `%d`, `%j` … take the values in order, `%#` is the index, `%%` a percent sign,
 * `$key` and `$a.b` read the first value's fields.
 */
function caseName(template: string, values: readonly unknown[], index: number): string {
  const numbered = template.replaceAll(/%%|%#/g, (mark) => (mark === "%#" ? String(index) : "%%"));
  const usedCount = [...numbered.matchAll(/%%|%[sdifjoOc]/g)].filter(([mark]) => mark !== "%%").length;
  const formatted = format(numbered, ...values.slice(0, usedCount));
  return formatted.replaceAll(/\$([A-Za-z_][\w.]*)/g, (mark, path: string) => {
    let value: unknown = values[0];
    for (const key of path.split(".")) {
      if (value === null || typeof value !== "object" || !(key in value)) return mark;
      value = (value as Record<string, unknown>)[key];
    }
    return typeof value === "string" ? value : format("%o", value);
  });
}

/** `each` over `base`: rows that are arrays are spread into the arguments. */
function eachOf<O>(base: (name: string, fn: () => MaybePromise<unknown>, options?: O) => void): Each<O> {
  return ((cases: readonly unknown[]) => (name: string, fn: (...args: unknown[]) => unknown, options?: O) => {
    cases.forEach((row, index) => {
      const args = Array.isArray(row) ? row : [row];
      base(caseName(name, args, index), () => fn(...args), options);
    });
  }) as Each<O>;
}

export interface Each<O> {
  <const T extends readonly unknown[]>(
    cases: readonly T[],
  ): (name: string, fn: (...args: { -readonly [K in keyof T]: T[K] }) => MaybePromise<unknown>, options?: O) => void;
  <T>(cases: readonly T[]): (name: string, fn: (value: T) => MaybePromise<unknown>, options?: O) => void;
}

interface Define {
  /** @param limit milliseconds, or options */
  (name: string, fn: TestFn, limit?: number | TestOptions): void;
  (name: string, options: TestOptions, fn: TestFn): void;
}

export interface It extends Define {
  skip: Define;
  only: Define;
  todo(name: string): void;
  /** Skipped when `condition` holds: `it.skipIf(major < 15)("…", …)`. */
  skipIf(condition: unknown): Define;
  runIf(condition: unknown): Define;
  each: Each<number | TestOptions>;
}

function defineIn(mode: Mode): Define {
  return (name: string, a: TestFn | TestOptions, b?: TestFn | number | TestOptions) => {
    const fn = typeof a === "function" ? a : b;
    const limit = typeof a === "function" ? b : a;
    if (typeof fn !== "function") throw new TypeError(`Cannot define test "${name}": it has no function`);
    define(mode, name, fn, typeof limit === "number" ? { timeout: limit } : (limit as TestOptions | undefined) ?? {});
  };
}

/** Defines one test. */
export const it: It = Object.assign(defineIn("run"), {
  skip: defineIn("skip"),
  only: defineIn("only"),
  todo: (name: string) => define("skip", name, () => {}, {}),
  skipIf: (condition: unknown) => defineIn(condition ? "skip" : "run"),
  runIf: (condition: unknown) => defineIn(condition ? "run" : "skip"),
  each: eachOf<number | TestOptions>(defineIn("run")),
});
export const test: It = it;

type DefineSuite = (name: string, body: () => unknown) => void;

export interface Describe extends DefineSuite {
  skip: DefineSuite;
  only: DefineSuite;
  skipIf(condition: unknown): DefineSuite;
  runIf(condition: unknown): DefineSuite;
  each: Each<never>;
}

function defineSuiteIn(mode: Mode): DefineSuite {
  return (name, body) => defineSuite(mode, name, body);
}

/** Groups tests; its body runs at once and may not be asynchronous. */
export const describe: Describe = Object.assign(defineSuiteIn("run"), {
  skip: defineSuiteIn("skip"),
  only: defineSuiteIn("only"),
  skipIf: (condition: unknown) => defineSuiteIn(condition ? "skip" : "run"),
  runIf: (condition: unknown) => defineSuiteIn(condition ? "run" : "skip"),
  each: eachOf<never>(defineSuiteIn("run")),
});

export function beforeAll(hook: Hook, timeoutMs = TIMEOUT_MS): void {
  current.beforeAll.push({ run: hook, timeoutMs });
}
export function afterAll(hook: Hook, timeoutMs = TIMEOUT_MS): void {
  current.afterAll.push({ run: hook, timeoutMs });
}
export function beforeEach(hook: Hook, timeoutMs = TIMEOUT_MS): void {
  current.beforeEach.push({ run: hook, timeoutMs });
}
export function afterEach(hook: Hook, timeoutMs = TIMEOUT_MS): void {
  current.afterEach.push({ run: hook, timeoutMs });
}

/** Calls `cleanup` when the running test has ended, before `afterEach`; the last one first. */
export function onTestFinished(cleanup: Cleanup): void {
  if (finishers === null) throw new Error("Cannot call onTestFinished(): no test is running");
  finishers.push(cleanup);
}

// ---------------------------------------------------------------------------------------------------------- expect

jestExpect.extend({
  toHaveBeenCalledOnce(received: { mock: { calls: unknown[] } }) {
    const count = received.mock.calls.length;
    return { pass: count === 1, message: () => `expected one call, got ${count}` };
  },
  toBeTypeOf(received: unknown, type: string) {
    const found = typeof received;
    return { pass: found === type, message: () => `expected a value of type ${type}, got ${found}` };
  },
  toBeOneOf(received: unknown, values: readonly unknown[]) {
    const pass = values.some((value) => this.equals(received, value));
    return { pass, message: () => `expected ${format("%o", received)} to be one of ${format("%o", values)}` };
  },
  toSatisfy(received: unknown, accepts: (value: unknown) => boolean) {
    return { pass: accepts(received), message: () => `expected ${format("%o", received)} to satisfy ${accepts}` };
  },
});

interface VitestMatchers<R> {
  toHaveBeenCalledOnce(): R;
  toBeTypeOf(type: string): R;
  toBeOneOf(values: readonly unknown[]): R;
  // deno-lint-ignore no-explicit-any
  toSatisfy(accepts: (value: any) => boolean): R;
}
type JestExpect = typeof jestExpect;
type Matchers<T> = ReturnType<typeof jestExpect<T>> & VitestMatchers<void> & {
  not: VitestMatchers<void>;
  resolves: VitestMatchers<Promise<void>> & { not: VitestMatchers<Promise<void>> };
  rejects: VitestMatchers<Promise<void>> & { not: VitestMatchers<Promise<void>> };
};

/** The same matchers; what they throw begins with `note`. */
function noted<T extends object>(matchers: T, note: string): T {
  const mark = (error: unknown): never => {
    if (error instanceof Error) error.message = `${note}\n${error.message}`;
    throw error;
  };
  return new Proxy(matchers, {
    get(owner, key) {
      const member = Reflect.get(owner, key);
      if (typeof member === "object" && member !== null) return noted(member, note);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        try {
          const result = member.apply(owner, args);
          return result instanceof Promise ? result.catch(mark) : result;
        } catch (error) {
          return mark(error);
        }
      };
    },
  });
}

/** jest's `expect` with vitest's optional second argument, a note that opens the failure's message. */
export const expect: (<T>(actual: T, note?: string) => Matchers<T>) & { [K in keyof JestExpect]: JestExpect[K] } =
  new Proxy(jestExpect, {
    apply(target, _self, [actual, note]: [unknown, string | undefined]) {
      const matchers = target(actual);
      return note === undefined ? matchers : noted(matchers, note);
    },
  }) as never;

// -------------------------------------------------------------------------------------------------------------- vi

// Node's type of the global object has names that Deno's lacks; the mocker reads none of them.
const mocker = new ModuleMocker(globalThis as unknown as ConstructorParameters<typeof ModuleMocker>[0]);
const savedEnv = new Map<string, string | undefined>();

function setEnv(name: string, value: string | undefined): void {
  if (value === undefined) Deno.env.delete(name);
  else Deno.env.set(name, value);
}

/** Mocks (jest's, same behaviour), environment variables, waiting. */
export const vi = {
  fn: mocker.fn.bind(mocker) as ModuleMocker["fn"],
  spyOn: mocker.spyOn.bind(mocker) as ModuleMocker["spyOn"],
  mocked: mocker.mocked.bind(mocker) as ModuleMocker["mocked"],
  isMockFunction: mocker.isMockFunction.bind(mocker) as ModuleMocker["isMockFunction"],
  clearAllMocks: (): void => mocker.clearAllMocks(),
  resetAllMocks: (): void => mocker.resetAllMocks(),
  restoreAllMocks: (): void => mocker.restoreAllMocks(),

  /** Sets an environment variable until {@link unstubAllEnvs}; `undefined` removes it. */
  stubEnv(name: string, value: string | undefined): void {
    if (!savedEnv.has(name)) savedEnv.set(name, Deno.env.get(name));
    setEnv(name, value);
  },
  unstubAllEnvs(): void {
    for (const [name, value] of savedEnv) setEnv(name, value);
    savedEnv.clear();
  },

  /** Calls `probe` until it no longer throws. @returns what it returned @throws its last error */
  async waitFor<T>(
    probe: () => MaybePromise<T>,
    { timeout = 1000, interval = 50 }: { timeout?: number; interval?: number } = {},
  ): Promise<T> {
    const deadline = performance.now() + timeout;
    for (;;) {
      try {
        return await probe();
      } catch (error) {
        if (performance.now() >= deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, interval));
      }
    }
  },
};
