/**
 * usage: deno task build
 *
 * Writes dist/skyq, one self-contained binary, with whatever Deno runs this. Where the base runtime cannot be
 * downloaded, `DENORT_BIN` names one of exactly this Deno's version.
 */
const { success } = await new Deno.Command(Deno.execPath(), {
  args: ["compile", "-A", "--no-check", "--output", "dist/skyq", "src/main.ts"],
  stdin: "null",
}).spawn().status;
if (!success) Deno.exit(1);
const { size } = Deno.statSync("dist/skyq");
console.error(`dist/skyq: ${(size / 2 ** 20).toFixed(0)} MB, Deno ${Deno.version.deno}`);
