import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import {
  createLogger,
  type FileLogger,
  formatTime,
  type LogOptions,
  redactSecrets,
} from "../../../src/base/file_log.ts";

let directory = "";
let file = "";
let log: FileLogger | null = null;
beforeEach(() => {
  directory = Deno.makeTempDirSync();
  file = `${directory}/job.log`;
});
afterEach(() => {
  log?.close();
  log = null;
  Deno.removeSync(directory, { recursive: true });
});

function open(options: Partial<LogOptions> = {}): FileLogger {
  log?.close();
  return log = createLogger({ level: "INFO", file, sizeMax: 0, count: 0, console: false, ...options });
}

const names = () => [...Deno.readDirSync(directory)].map(({ name }) => name).sort();

describe("createLogger()", () => {
  it("writes date, pid, level and message, and leaves out lower levels", () => {
    const log = open();
    log.debug("no");
    log.info("yes");
    log.stat({ count: 2, duration: 0.123456 });
    const lines = Deno.readTextFileSync(file).split("\n");
    expect(lines.length).toBe(3);
    expect(lines[0]).toMatch(new RegExp(String.raw`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ${Deno.pid} INFO yes$`));
    expect(lines[1]).toContain("INFO {count: 2, duration: 0.1235}");
  });

  it("goes on at the end of the file it finds", () => {
    Deno.writeTextFileSync(file, "before\n");
    open().error("after");
    expect(Deno.readTextFileSync(file)).toMatch(/^before\n.* ERROR after\n$/);
  });

  it("rotates by size, loses no line and keeps as many files as it should", () => {
    const log = open({ sizeMax: 300, count: 3 });
    for (let index = 0; index < 40; index++) log.info(`line ${index} ${"x".repeat(20)}`);
    expect(names()).toEqual(["job.log", "job.log.1", "job.log.2", "job.log.3"]);
    const kept = ["job.log.3", "job.log.2", "job.log.1", "job.log"].flatMap((name) => {
      const text = Deno.readTextFileSync(`${directory}/${name}`);
      expect(text.length).toBeLessThanOrEqual(300);
      return [...text.matchAll(/line (\d+)/g)].map((match) => Number(match[1]));
    });
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, index) => 40 - kept.length + index));
    expect(kept.length).toBeGreaterThan(12);
  });

  it("counts what was in the file before", () => {
    Deno.writeTextFileSync(file, "x".repeat(400));
    open({ sizeMax: 300, count: 1 }).info("new");
    expect(Deno.readTextFileSync(`${file}.1`)).toBe("x".repeat(400));
  });

  it("never rotates with size 0 or count 0", () => {
    for (const options of [{ sizeMax: 0, count: 3 }, { sizeMax: 10, count: 0 }]) {
      const log = open(options);
      for (let index = 0; index < 10; index++) log.info("line");
    }
    expect(names()).toEqual(["job.log"]);
  });

  it("does not rotate twice when another process of the job did it already", () => {
    const first = open({ sizeMax: 300, count: 3 });
    first.info("x".repeat(250));
    const second = createLogger({ level: "INFO", file, sizeMax: 300, count: 3, console: false });
    second.info("by the second"); // rotates
    first.info("by the first");
    second.close();
    expect(names()).toEqual(["job.log", "job.log.1"]);
    expect(Deno.readTextFileSync(file)).toMatch(/by the second\n.*by the first\n$/);
  });

  it("reopens a file that was moved away, with new options", () => {
    const log = open();
    log.info("one");
    Deno.renameSync(file, `${file}.old`);
    log.reopen({ level: "DEBUG", file, sizeMax: 0, count: 0, console: false });
    log.debug("two");
    expect(Deno.readTextFileSync(file)).toContain("DEBUG two");
    expect(Deno.readTextFileSync(`${file}.old`)).not.toContain("two");
  });

  it("makes the directories that are missing", () => {
    open({ file: `${directory}/a/b/job.log` }).info("there");
    expect(Deno.readTextFileSync(`${directory}/a/b/job.log`)).toContain("INFO there");
    expect(Deno.statSync(`${directory}/a/b`).mode! & 0o777 & ~0o755).toBe(0);
  });

  it("says why it cannot open the file, and what to do", () => {
    Deno.writeTextFileSync(`${directory}/file`, "");
    let error: unknown;
    try {
      open({ file: `${directory}/file/job.log` });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(SkyqError);
    expect((error as SkyqError).message).toMatch(/^Cannot open log file ".*\/file\/job\.log": ./);
    expect((error as SkyqError).hint).toContain('"logfile"');
  });

  it("blots out a password that slipped into a message", () => {
    open().error("cannot connect to host=x password=geheim: refused");
    expect(Deno.readTextFileSync(file)).not.toContain("geheim");
  });
});

describe("formatTime()", () => {
  it("pads every part, in local time", () => {
    expect(formatTime(new Date(2024, 0, 2, 3, 4, 5, 6))).toBe("2024-01-02 03:04:05,006");
  });
});

describe("redactSecrets()", () => {
  const cases: [string, string][] = [
    ["host=x password=a#b;c", "host=x password=***"],
    [String.raw`password = 'a \' b' host=x`, "password = *** host=x"],
    ["postgresql://u:p:w@h/db", "postgresql://u:***@h/db"],
    ["postgres://u@h/db?password=x&sslpassword=y", "postgres://u@h/db?password=***"],
    ["postgres://u:p/w@h/db user=a", "postgres://u:***@h/db user=a"],
    ["password authentication failed", "password authentication failed"],
    ["at 10:20 a@b", "at 10:20 a@b"],
    ["alter role app PASSWORD 'it''s' valid until 'x'", "alter role app PASSWORD *** valid until 'x'"],
    ["create user u password\n E'a'", "create user u password\n ***"],
  ];
  for (const [text, expected] of cases) {
    it(`makes "${expected}"`, () => expect(redactSecrets(text)).toBe(expected));
  }
});
