import { makeDirectoryOf } from "./directory.ts";
import { messageOf, SkyqError } from "./errors.ts";
import type { Logger } from "./log.ts";

/**
 * Who wrote a pidfile. Line 1 is the process id, which is all that other tools read; line 2 is what makes the process
 * unmistakable, since ids are used again.
 */
interface Holder {
  readonly pid: number;
  /** `BOOT_ID START_TICKS` of the process, or `null` in a file that another program wrote. */
  readonly identity: string | null;
}

export interface Pidfile {
  /** Removes the file, if it is still ours. Safe to call twice. */
  release(): void;
}

/**
 * Takes the pidfile for this process; its directory is made when it is missing.
 * @throws {SkyqError} `already-running` when the process that wrote it lives, `config` when it cannot be written
 */
export function acquirePidfile(path: string, log: Logger): Pidfile {
  const own = `${Deno.pid}\n${processIdentity(Deno.pid) ?? ""}\n`;
  for (;;) {
    let file: Deno.FsFile;
    try {
      makeDirectoryOf(path);
      file = Deno.openSync(path, { read: true, write: true, create: true });
    } catch (cause) {
      throw new SkyqError("config", `Cannot write pidfile "${path}": ${messageOf(cause)}`, {
        hint: 'The user that runs skyq must be able to write there; or set the config key "pidfile" to another place.',
        cause,
      });
    }
    try {
      // The lock is held while judging and replacing, so that of two starters only one takes over a stale file.
      file.lockSync(true);
      if (file.statSync().ino !== inodeOf(path)) continue;
      const text = Deno.readTextFileSync(path);
      const holder = parseHolder(text);
      if (holder !== null && isAlive(holder)) {
        throw new SkyqError("already-running", "Pidfile exists, another process running?", {
          hint: `Process ${holder.pid} holds "${path}"; stop it with the option -s.`,
          facts: { pid: holder.pid, pidfile: path },
        });
      }
      if (text !== "") log.info("Ignoring stale pidfile");
      // By rename, so that a reader never sees half a number.
      const temporary = `${path}.${Deno.pid}.tmp`;
      Deno.writeTextFileSync(temporary, own);
      Deno.renameSync(temporary, path);
    } finally {
      file.close();
    }
    return { release: () => removeIfOurs(path, own) };
  }
}

/**
 * The live process that holds a pidfile.
 * @returns its id; `"absent"` when there is no file; `"dead"` when the process is gone
 */
export function pidfileHolder(path: string): number | "absent" | "dead" {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "absent";
    throw new SkyqError("config", `Cannot read pidfile "${path}": ${(error as Error).message}`, { cause: error });
  }
  const holder = parseHolder(text);
  return holder !== null && isAlive(holder) ? holder.pid : "dead";
}

function parseHolder(text: string): Holder | null {
  const [first, second] = text.split("\n");
  const pid = Number(first);
  if (!Number.isSafeInteger(pid) || pid <= 0) return null;
  return { pid, identity: second === undefined || second.trim() === "" ? null : second.trim() };
}

function isAlive({ pid, identity }: Holder): boolean {
  const actual = processIdentity(pid);
  if (actual === null) return false;
  // In a container that starts again, process 7 meets its own old file: same id, other life.
  if (identity === null) return pid !== Deno.pid;
  return actual === "" || actual === identity;
}

/**
 * What tells a process from an earlier one with the same id.
 * @returns `null` when there is none or only a zombie; `""` when it lives but the system does not tell more
 */
function processIdentity(pid: number): string | null {
  let stat: string;
  try {
    stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  } catch {
    return Deno.build.os === "linux" ? null : probe(pid);
  }
  // The name, in parentheses, may itself hold blanks and parentheses: count from behind it. Field 3 is the state,
  // field 22 the start time in ticks since boot (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return null;
  return `${bootId()} ${fields[22 - 3]}`;
}

function bootId(): string {
  try {
    return Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
  } catch {
    return "-";
  }
}

/** Signal 0 on systems without /proc; Deno.kill() does not know it, so kill(1) sends it. */
function probe(pid: number): "" | null {
  const { success } = new Deno.Command("kill", { args: ["-0", String(pid)], stderr: "null" }).outputSync();
  return success ? "" : null;
}

function inodeOf(path: string): number | null {
  try {
    return Deno.statSync(path).ino;
  } catch {
    return null;
  }
}

function removeIfOurs(path: string, own: string): void {
  try {
    if (Deno.readTextFileSync(path) === own) Deno.removeSync(path);
  } catch {
    // Gone already, or no longer readable: then it is not ours to remove.
  }
}
