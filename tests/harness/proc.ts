/** What the tests ask the operating system about processes: Linux by /proc, elsewhere by `ps`. */

const decoder = new TextDecoder();

/** Fields of /proc/PID/stat from the third on: the second, the program's name, may hold spaces and brackets. */
function statFields(pid: number): string[] | null {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return null;
  }
}

function ps(...args: string[]): string {
  return decoder.decode(new Deno.Command("ps", { args, stderr: "null" }).outputSync().stdout);
}

/**
 * When process `pid` began, as digits that no later process with the same number shares.
 * @returns `null` when there is no such process, or only its zombie
 */
export function processStart(pid: number): string | null {
  if (Deno.build.os === "linux") {
    const fields = statFields(pid);
    return fields === null || fields[0] === "Z" || fields[0] === "X" ? null : fields[19] ?? null;
  }
  const startedAt = Date.parse(ps("-o", "lstart=", "-p", String(pid)).trim());
  return Number.isNaN(startedAt) ? null : String(startedAt);
}

export function isAlive(pid: number): boolean {
  return processStart(pid) !== null;
}

/** The processes that `pid` started itself, zombies too. */
export function childrenOf(pid: number): number[] {
  if (Deno.build.os === "linux") {
    return [...Deno.readDirSync("/proc")]
      .map((entry) => Number(entry.name))
      .filter((candidate) => candidate > 0 && Number(statFields(candidate)?.[1]) === pid);
  }
  return ps("-axo", "pid=,ppid=").trim().split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => parent === pid)
    .map(([child]) => child as number);
}

/** Program and arguments of a process, empty when it is gone. */
export function commandLine(pid: number): string {
  if (Deno.build.os !== "linux") return ps("-ww", "-o", "args=", "-p", String(pid)).trim();
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** Resident memory of a process in MB (2^20 bytes), 0 when it is gone. */
export function residentMb(pid: number): number {
  if (Deno.build.os !== "linux") return Number(ps("-o", "rss=", "-p", String(pid)).trim()) / 1024;
  try {
    const match = /^VmRSS:\s+(\d+) kB/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
    return Number(match?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Sends a signal. @returns false when there is no such process */
export function signal(pid: number, name: Deno.Signal): boolean {
  try {
    Deno.kill(pid, name);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || (error as { code?: string }).code === "ESRCH") return false;
    throw error;
  }
}
