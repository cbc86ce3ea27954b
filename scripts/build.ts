/**
 * usage: deno task build
 *
 * Writes dist/skyq, one self-contained binary, with whatever Deno runs this. Where the base runtime cannot be
 * downloaded, `DENORT_BIN` names one of exactly this Deno's version.
 *
 * `deno compile` embeds every package that deno.json or deno.lock knows, the compiler of the kernels and the tests'
 * packages included (100 MB). So it gets a configuration of its own, with the packages that src/main.ts imports.
 */
const MAIN = "src/main.ts";
const BINARY = "dist/skyq";
const CONFIG = "dist/build.json";
const LOCK = "dist/build.lock";

interface DenoConfig {
  version: string;
  unstable: string[];
  imports: Record<string, string>;
}

/** Names of the npm packages that src/main.ts imports, directly or by its own modules: `postgres@3.4.9`. */
async function importedPackages(): Promise<Set<string>> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", MAIN],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot read the imports of ${MAIN}`);
  const graph = JSON.parse(new TextDecoder().decode(stdout)) as { modules: { npmPackage?: string; error?: string }[] };
  const broken = graph.modules.find((module) => module.error !== undefined);
  if (broken) throw new Error(`Cannot read the imports of ${MAIN}: ${broken.error}`);
  return new Set(graph.modules.flatMap((module) => module.npmPackage ?? []));
}

const { version, unstable, imports } = JSON.parse(Deno.readTextFileSync("deno.json")) as DenoConfig;
const used = await importedPackages();
const kept = Object.entries(imports).filter(([, target]) => {
  const [, name = ""] = /^npm:((?:@[^/]+\/)?[^/]+)/.exec(target) ?? [];
  return used.has(name);
});
const lock = JSON.parse(Deno.readTextFileSync("deno.lock")) as { specifiers: Record<string, string> };
const specifiers = Object.entries(lock.specifiers).filter(([specifier]) => used.has(specifier.replace(/^npm:/, "")));

Deno.mkdirSync("dist", { recursive: true });
Deno.writeTextFileSync(CONFIG, JSON.stringify({ version, unstable, imports: Object.fromEntries(kept) }));
Deno.writeTextFileSync(LOCK, JSON.stringify({ ...lock, specifiers: Object.fromEntries(specifiers) }));
const { success } = await new Deno.Command(Deno.execPath(), {
  args: ["compile", "-A", "--no-check", "--quiet", "--config", CONFIG, "--lock", LOCK, "--output", BINARY, MAIN],
  stdin: "null",
}).spawn().status;
Deno.removeSync(CONFIG);
Deno.removeSync(LOCK);
if (!success) Deno.exit(1);
console.error(`${BINARY}: ${(Deno.statSync(BINARY).size / 2 ** 20).toFixed(0)} MB, Deno ${Deno.version.deno}`);
