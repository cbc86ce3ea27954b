/** Runs every bench at its small size, so that none rots. A bench module exports `smoke()` and does nothing on import. */
import { describe, it } from "vitest";
import { fileURLToPath } from "node:url";

const BENCH = new URL("../../bench/", import.meta.url);

function benchFiles(dir: URL): URL[] {
  let entries: Deno.DirEntry[];
  try {
    entries = [...Deno.readDirSync(dir)].sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  return entries.flatMap((entry) => {
    if (entry.isDirectory) return benchFiles(new URL(`${entry.name}/`, dir));
    return entry.name.endsWith("_bench.ts") ? [new URL(entry.name, dir)] : [];
  });
}

const benches: { name: string; smoke: unknown }[] = [];
for (const file of benchFiles(BENCH)) {
  const { smoke } = await import(file.href);
  benches.push({ name: fileURLToPath(file).slice(fileURLToPath(BENCH).length), smoke });
}

describe("bench", () => {
  for (const { name, smoke } of benches) {
    // A bench without a small size shows as skipped.
    if (typeof smoke === "function") it(`${name} runs at its small size`, () => smoke());
    else it.todo(`${name} runs at its small size`);
  }
});
