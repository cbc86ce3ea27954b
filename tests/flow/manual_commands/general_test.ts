/** The manual's options of every command: each line, each error, its text and its status. */
import { afterAll, beforeAll, describe } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { Job } from "../job.ts";
import { testLines } from "./lines.ts";

describe("general options", () => {
  let job: Job;

  beforeAll(async () => {
    const [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber });
    const pair = `provider_db = ${provider.dsn()}\nsubscriber_db = ${subscriber.dsn()}\npgq_queue_name = q`;
    Deno.writeTextFileSync(`${job.dir}/no_section.ini`, `[other]\nx = 1\n`);
    Deno.writeTextFileSync(`${job.dir}/manual.ini`, `[londiste]\njob_name = job\n${pair}\n`);
    const nowhere = "host=127.0.0.1 port=1 dbname=x user=u password=geheim connect_timeout=2";
    Deno.writeTextFileSync(
      `${job.dir}/down.ini`,
      `[skyq]\nprovider_db = ${nowhere}\nsubscriber_db = ${nowhere}\npgq_queue_name = q\n` +
        `pidfile = ${job.dir}/down.pid\nlogfile = ${job.dir}/down.log\nexception_sleep = 1\n`,
    );
    await job.run("provider", "install", "conf.ini");
  });
  afterAll(async () => await job?.[Symbol.asyncDispose]());

  describe("help and version", () => {
    testLines(() => job, [
      { type: "--help", out: /^skyq \S+: .*\n\nUsage: skyq COMMAND/ },
      { type: "-h", out: /^skyq \S+: .*\n\nUsage: skyq COMMAND/ },
      { type: "help provider", out: /provider install .*\n[^]*provider add-seq/ },
      { type: "provider add --help", out: /Usage: skyq provider add CONFIG \[TABLE…\][^]*Examples/ },
      { type: "conf.ini subscriber add -h", out: /Usage: skyq subscriber add CONFIG/ },
      { type: "--version", out: /^skyq \d+\.\d+\.\d+\n$/ },
      { type: "-V", out: /^skyq \d+\.\d+\.\d+\n$/ },
      { type: "replay -V", out: /^skyq \d+\.\d+\.\d+\n$/ },
      { type: "replay --ini", out: /^\[skyq\]\n[^]*## .*\nprovider_db = [^]*#parallel_copies = 1\n/ },
      { type: "replay --ini --set parallel_copies=3", out: /\nparallel_copies = 3\n/ },
    ]);
  });

  describe("level of the log", () => {
    testLines(() => job, [
      { type: "provider install conf.ini", says: ["INFO pgq is installed"], saysNot: ["DEBUG"] },
      { type: "provider install conf.ini -q", says: [/^$/] },
      { type: "provider tables conf.ini -v", says: [/^$/] },
      {
        type: "-vv provider tables conf.ini",
        says: [/^DEBUG select .*londiste\.table_info t where t\.queue_name = \$1 order by t\.nr$/m],
      },
      { type: "provider install conf.ini -q -v", code: 2, says: ["Cannot take --quiet and --verbose together"] },
    ]);
  });

  describe("what cannot be understood", () => {
    testLines(() => job, [
      {
        type: "provider install",
        code: 2,
        says: ["need config file, use --help for help", "Usage: skyq provider install"],
      },
      { type: "conf.ini", code: 2, says: ["need command, use --help for help"] },
      { type: "nosuch conf.ini", code: 2, says: ["Unknown command 'nosuch', use --help for help"] },
      { type: "conf.ini nosuch", code: 2, says: ["Unknown command 'nosuch', use --help for help"] },
      { type: "replay conf.ini --nosuch", code: 2, says: ['Unknown option "--nosuch"', "Usage: skyq replay"] },
      { type: "provider", code: 2, says: ["need subcommand", "install, add, remove"] },
      { type: "conf.ini provider", code: 2, says: ["need subcommand"] },
      { type: "conf.ini provider nosuch", code: 2, says: ["bad subcommand"] },
      { type: "subscriber nosuch conf.ini", code: 2, says: ["bad subcommand"] },
      { type: "provider tables nowhere.ini", code: 1, says: ["ERROR Config file not found: nowhere.ini"] },
      { type: "provider tables no_section.ini", code: 1, says: ["no section [skyq]", "[other]"] },
      { type: "provider tables conf.ini --set nonsense", code: 2, says: ['"nonsense" is not KEY=VALUE'] },
      {
        type: "provider tables conf.ini --set lock_timout=1",
        code: 2,
        says: ['Cannot set "lock_timout": no such config key', 'Did you mean "lock_timeout"?'],
      },
      {
        type: "provider tables conf.ini --set lock_timeout=soon",
        code: 1,
        says: ['"lock_timeout": value "soon" is not a time'],
      },
      { type: "provider tables conf.ini --set lock_timeout=5", out: "" },
      { type: "manual.ini provider tables", out: "" },
      {
        type: "provider tables down.ini",
        code: 1,
        says: [/ERROR Cannot connect to .*127\.0\.0\.1.*connection refused/, "hint: Is the server running"],
        saysNot: ["geheim"],
      },
    ]);
  });
});
