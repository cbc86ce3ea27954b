/**
 * Everything that can go wrong, in one table. The fault decides the exit status and whether a daemon tries again.
 *
 * Exit statuses: 0 ok · 1 failed · 2 usage · 3 differences found · 4 not in sync or over the lag limit ·
 * 5 lock not obtained in time · 6 another instance holds the job · 128+n ended by signal n.
 */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  differences: 3,
  notInSync: 4,
  lockTimeout: 5,
  alreadyRunning: 6,
  /** Ended by signal `n`: the shell's convention. */
  signal: (n: number): number => 128 + n,
} as const;

export interface FaultInfo {
  /** Exit status of a one-shot command that ends with this fault. */
  readonly exit: number;
  /** Whether a daemon pauses and tries again (true) or stops for the operator (false). */
  readonly retry: boolean;
  /** SQLSTATE our own SQL functions raise for it, if any does. */
  readonly sqlstate: string | null;
}

export const FAULTS = {
  "usage": { exit: EXIT.usage, retry: false, sqlstate: null },
  "config": { exit: EXIT.failed, retry: false, sqlstate: null },
  "connect": { exit: EXIT.failed, retry: true, sqlstate: null },
  "auth": { exit: EXIT.failed, retry: true, sqlstate: null },
  "connection-lost": { exit: EXIT.failed, retry: true, sqlstate: null },
  "protocol": { exit: EXIT.failed, retry: true, sqlstate: null },
  "sql": { exit: EXIT.failed, retry: true, sqlstate: null },
  "privilege": { exit: EXIT.failed, retry: true, sqlstate: null },
  "lock-timeout": { exit: EXIT.lockTimeout, retry: true, sqlstate: null },
  "timeout": { exit: EXIT.failed, retry: true, sqlstate: null },
  "already-running": { exit: EXIT.alreadyRunning, retry: false, sqlstate: null },
  "not-installed": { exit: EXIT.failed, retry: true, sqlstate: null },
  /** The queue keeps nothing for the consumer: trying again cannot help, an operator has to decide. */
  "not-registered": { exit: EXIT.failed, retry: false, sqlstate: null },
  "not-found": { exit: EXIT.failed, retry: false, sqlstate: null },
  "structure": { exit: EXIT.failed, retry: true, sqlstate: null },
  "refused": { exit: EXIT.failed, retry: true, sqlstate: null },
  "bad-event": { exit: EXIT.failed, retry: true, sqlstate: null },
  "apply-conflict": { exit: EXIT.failed, retry: true, sqlstate: null },
  "lost-position": { exit: EXIT.failed, retry: true, sqlstate: null },
  "not-in-sync": { exit: EXIT.notInSync, retry: false, sqlstate: null },
  "stopped": { exit: EXIT.ok, retry: false, sqlstate: null },
} as const satisfies Record<string, FaultInfo>;

export type Fault = keyof typeof FAULTS;

export interface SkyqErrorOptions {
  /** What to do next; printed as its own `hint:` line. */
  hint?: string;
  /** Facts for the log line: names, ids, counts. Never a secret. */
  facts?: Record<string, unknown>;
  /** SQLSTATE of the server's error, when a server said it. */
  sqlstate?: string;
  cause?: unknown;
}

/** An expected failure. Any other thrown value is a bug and is printed with its stack. */
export class SkyqError extends Error {
  readonly fault: Fault;
  readonly hint: string | undefined;
  readonly facts: Record<string, unknown>;
  readonly sqlstate: string | undefined;

  /** @param message the act that failed, a colon, the state found; strings quoted, no final period */
  constructor(fault: Fault, message: string, options: SkyqErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.name = "SkyqError";
    this.fault = fault;
    this.hint = options.hint;
    this.facts = options.facts ?? {};
    this.sqlstate = options.sqlstate;
  }

  get exit(): number {
    return FAULTS[this.fault].exit;
  }

  get retry(): boolean {
    return FAULTS[this.fault].retry;
  }
}

/** The message of any thrown value, for a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * The message of any thrown value and the server's DETAIL, which is what names the row: the one to show an operator
 * where a server refused a row.
 * @example `…: duplicate key value violates unique constraint "t_pkey" (Key (id)=(1) already exists.)`
 */
export function messageWithDetail(error: unknown): string {
  const message = messageOf(error);
  const detail = error instanceof SkyqError ? error.facts.detail : undefined;
  return typeof detail !== "string" || message.includes(detail) ? message : `${message} (${detail})`;
}
