/**
 * deno run -A scripts/wasm.ts [--force]
 *
 * Compiles wasm/assembly into src/codec/kernels.wasm, and with asserts and the scalar twins into kernels.debug.wasm for
 * tests. What is newer than all sources is left as it is.
 */
import asc from "assemblyscript/asc";

const SOURCES = new URL("../wasm/assembly/", import.meta.url);
const TARGETS = new URL("../src/codec/", import.meta.url);
const SHARED_FLAGS = ["--runtime", "stub", "--enable", "simd,bulk-memory"];
const BUILDS = [
  { entry: "index.ts", target: "kernels.wasm", flags: ["-O3", "--noAssert"] },
  { entry: "debug.ts", target: "kernels.debug.wasm", flags: ["-O1", "--debug"] },
];

/** Milliseconds since the epoch, 0 when there is no such file. */
function modifiedAt(file: URL): number {
  try {
    return Deno.statSync(file).mtime?.getTime() ?? 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

function newestSource(): number {
  const files = [...Deno.readDirSync(SOURCES)].map((entry) => new URL(entry.name, SOURCES));
  return Math.max(modifiedAt(new URL(import.meta.url)), ...files.map(modifiedAt));
}

/** Compiles `entry`, keeping the compiler off the disk, and puts the module in place in one step. */
async function compile(entry: string, target: string, flags: string[]): Promise<void> {
  let module: Uint8Array | undefined;
  let messages = "";
  const { error } = await asc.main(["assembly/" + entry, "--outFile", "module.wasm", ...SHARED_FLAGS, ...flags], {
    stdout: { write: (text: string) => messages += text },
    stderr: { write: (text: string) => messages += text },
    readFile: (name: string) => readSource(name),
    writeFile: (name: string, contents: Uint8Array | string) => {
      if (name === "module.wasm") module = contents as Uint8Array;
    },
    listFiles: () => [],
  });
  if (messages !== "") console.error(messages);
  if (error !== null || module === undefined) throw new Error(`Cannot compile ${entry}`, { cause: error });
  const temporary = new URL(`${target}.${Deno.pid}`, TARGETS);
  Deno.writeFileSync(temporary, module);
  Deno.renameSync(temporary, new URL(target, TARGETS));
  console.error(`${target}: ${module.length} bytes`);
}

function readSource(name: string): string | null {
  const file = name.replaceAll("\\", "/").replace(/^.*assembly\//, "");
  try {
    return Deno.readTextFileSync(new URL(file, SOURCES));
  } catch {
    return null; // the compiler asks for several places, and then says itself what it misses
  }
}

const newest = Deno.args.includes("--force") ? Infinity : newestSource();
for (const { entry, target, flags } of BUILDS) {
  if (modifiedAt(new URL(target, TARGETS)) <= newest) await compile(entry, target, flags);
}
