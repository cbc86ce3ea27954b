/** CPU seconds and memory of processes, from /proc. */
import { childrenOf } from "../../tests/harness/proc.ts";

/** Ticks of /proc's clock in a second; the same on every Linux that Deno runs on. */
const TICKS_PER_SECOND = 100;

/** Fields of /proc/PID/stat from the third on, empty when the process is gone. */
function statFields(pid: number): number[] {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return text.slice(text.lastIndexOf(")") + 2).split(" ").map(Number);
  } catch {
    return [];
  }
}

/** CPU seconds that process `pid` itself has used, 0 when it is gone. */
export function cpuSeconds(pid: number): number {
  const fields = statFields(pid);
  return ((fields[11] ?? 0) + (fields[12] ?? 0)) / TICKS_PER_SECOND;
}

/** CPU seconds of a process, its living children, and those that have ended and that it waited for. */
export function cpuSecondsOfTree(pid: number): number {
  const fields = statFields(pid);
  const ended = ((fields[13] ?? 0) + (fields[14] ?? 0)) / TICKS_PER_SECOND;
  return childrenOf(pid).reduce((sum, child) => sum + cpuSeconds(child), cpuSeconds(pid) + ended);
}

/** CPU seconds that all processes of the machine have used since it was started. */
export function machineSeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = Deno.readTextFileSync("/proc/stat")
    .split("\n")[0]!.trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/** The most memory that process `pid` ever had resident, in MB (2^20 bytes), 0 when it is gone. */
export function peakResidentMb(pid: number): number {
  try {
    const match = /^VmHWM:\s+(\d+) kB/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
    return Number(match?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Watches how much of the machine others take while something is measured. */
export class ForeignLoad {
  readonly #ours: readonly number[];
  readonly #startMs = performance.now();
  readonly #startMachine = machineSeconds();
  readonly #startOurs: number;

  /** @param ours processes that, with their children, belong to the bench, besides this one and its children */
  constructor(ours: readonly number[]) {
    this.#ours = [Deno.pid, ...ours];
    this.#startOurs = this.#sum();
  }

  #sum(): number {
    return this.#ours.reduce((sum, pid) => sum + cpuSecondsOfTree(pid), 0);
  }

  /** Cores that processes other than the bench's were using, on average since the start. */
  cores(): number {
    const seconds = (performance.now() - this.#startMs) / 1000;
    const others = machineSeconds() - this.#startMachine - (this.#sum() - this.#startOurs);
    return Math.max(0, others / seconds);
  }
}
