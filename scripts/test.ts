/**
 * usage: deno task test [PATH… | deno test's options…]
 *
 * Runs the tests (default: all of them) against two clusters that it starts once and stops at
 * the end. Three test files run at a time, as most of what tests do is wait; `SKYQ_TEST_JOBS=1` runs one after the other.
 * `SKYQ_PG_MAJOR` chooses the server's version, `SKYQ_BIN` a compiled binary for the tests that run skyq as a process.
 * The last line is `N passed, N failed`, and `, N skipped` if there are any.
 */
import { PAIR_VARIABLE, startPair } from "../tests/harness/cluster.ts";
import { guard } from "../tests/harness/process.ts";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Reads `deno test`'s own closing line: `ok | 5 passed (2 steps) | 0 failed | 1 ignored (12ms)`. */
function countsIn(output: string): Counts {
  // deno-lint-ignore no-control-regex
  const plain = output.replaceAll(/\x1b\[[0-9;]*m/g, "");
  const summary = [...plain.matchAll(/^(?:ok|FAILED) \| .*$/gm)].at(-1)?.[0] ?? "";
  const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(summary)?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
}

/** Passes a child's stdout on and keeps it. */
async function tee(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    for (let done = 0; done < chunk.length;) done += await Deno.stdout.write(chunk.subarray(done));
  }
  return text;
}

const SHARED_ROLES = `
  create role pgq_reader; create role pgq_writer; create role pgq_admin in role pgq_reader, pgq_writer;
  create role londiste_reader in role pgq_reader; create role londiste_writer in role pgq_admin`;

async function runTests(args: readonly string[]): Promise<Counts> {
  const clusters = await startPair();
  try {
    // Roles belong to the whole cluster. The original extensions make theirs without looking twice, and fail when several
    // test files install them at the same moment.
    for (const cluster of clusters) await cluster.sql("postgres", SHARED_ROLES);
    const jobCount = Deno.env.get("SKYQ_TEST_JOBS") || "3";
    const paths = args.some(exists) ? [] : ["tests"];
    const child = new Deno.Command(Deno.execPath(), {
      // Types are `deno task check`'s business.
      args: ["test", "-A", "--no-check", ...(jobCount === "1" ? [] : ["--parallel"]), ...args, ...paths],
      env: {
        [PAIR_VARIABLE]: JSON.stringify(clusters.map((cluster) => cluster.address)),
        DENO_JOBS: jobCount,
      },
      stdout: "piped",
    }).spawn();
    const release = guard(child.pid);
    const [output, status] = await Promise.all([tee(child.stdout), child.status]);
    release();
    const counts = countsIn(output);
    // A file that cannot be loaded, for one, fails the run without a failed test.
    if (!status.success && counts.failed === 0) counts.failed = 1;
    return counts;
  } finally {
    await Promise.all(clusters.map((cluster) => cluster[Symbol.asyncDispose]()));
  }
}

let counts: Counts = { passed: 0, failed: 1, skipped: 0 };
try {
  counts = await runTests(Deno.args);
} catch (error) {
  console.error(error);
}
const skipped = counts.skipped === 0 ? "" : `, ${counts.skipped} skipped`;
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
Deno.exit(counts.failed === 0 ? 0 : 1);
