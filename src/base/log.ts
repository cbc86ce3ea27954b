/**
 * What a log is to the rest of the program. Lines read `YYYY-MM-DD HH:MM:SS,mmm PID LEVEL message`, on stderr and in
 * the log file of a daemon alike; `file_log.ts` has the writer.
 */
export const LOG_LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warning(message: string): void;
  error(message: string): void;
  critical(message: string): void;
  /** A statistics line: `{count: 12, duration: 0.0312}`, at INFO. Numbers are rounded to 4 digits. */
  stat(values: Record<string, number | string>): void;
}

/** Formats `values` as a statistics line. @example formatStat({ count: 3, duration: 0.123456 }) === "{count: 3, duration: 0.1235}" */
export function formatStat(values: Record<string, number | string>): string {
  const parts = Object.entries(values).map(([key, value]) =>
    `${key}: ${typeof value === "number" ? Math.round(value * 10_000) / 10_000 : value}`
  );
  return `{${parts.join(", ")}}`;
}

/** A log that keeps nothing: for tests and for library use. */
export const silentLog: Logger = {
  debug() {},
  info() {},
  warning() {},
  error() {},
  critical() {},
  stat() {},
};
