import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { Config, type ConfigInput, loadConfig } from "../../../src/config/config.ts";
import { type Key, KEYS, REQUIRED, SECTIONS } from "../../../src/config/keys.ts";
import { sampleConfig } from "../../../src/config/sample.ts";

let directory = "";
beforeAll(() => {
  directory = Deno.makeTempDirSync();
});
afterAll(() => Deno.removeSync(directory, { recursive: true }));

function load(text: string, input: Partial<ConfigInput> = {}, name = "orders.ini"): Config {
  const file = `${directory}/${name}`;
  Deno.writeTextFileSync(file, text);
  return loadConfig({ file, kind: "any", ...input });
}

function failure(act: () => unknown): SkyqError {
  try {
    act();
  } catch (error) {
    if (error instanceof SkyqError) return error;
    throw error;
  }
  throw new Error("Expected an error, got none");
}

const PAIR = "provider_db = dbname=a\nsubscriber_db = dbname=b\npgq_queue_name = q\n";

describe("loadConfig()", () => {
  it("takes the first section it knows, best first", () => {
    expect(load("[other]\nx=1\n[pgqd]\n[londiste]\npgq_queue_name=a\n[skyq]\npgq_queue_name=b").section).toBe("skyq");
    for (const name of SECTIONS) expect(load(`[${name}]\n`).section).toBe(name);
  });

  it("names the sections when it knows none of them", () => {
    const error = failure(() => load("[londist]\n"));
    expect(error.message).toContain("no section [skyq] in it; it has [londist]");
    expect(error.hint).toBe('Did you mean "londiste"?');
  });

  it("says which file is missing", () => {
    const error = failure(() => loadConfig({ file: `${directory}/nix.ini`, kind: "any" }));
    expect(error.message).toBe(`Config file not found: ${directory}/nix.ini`);
    expect(error.exit).toBe(1);
  });

  it("gives defaults, some of them made from other keys", () => {
    const config = load("[skyq]\npgq_queue_name = shop\nloop_delay = 500ms");
    expect(config.get("log_size")).toBe(10_485_760);
    expect(config.get("job_name")).toBe("orders");
    expect(config.get("pgq_consumer_id")).toBe("orders");
    expect(config.get("provider_node")).toBe("shop_root");
    expect(config.get("ticker_period")).toBe(0.5);
    expect(config.isSet("ticker_period")).toBe(false);
    expect(load("[skyq]").get("provider_node")).toBeNull();
  });

  it("never makes a period from a pause that would mean a busy loop", () => {
    expect(load("[skyq]\nloop_delay = 0").get("ticker_period")).toBeGreaterThan(0);
  });

  it("lets the environment win over the file, and --set over both", () => {
    const env = { SKYQ_PGQ_QUEUE_NAME: "env", SKYQ_LOG_COUNT: "7", PGQ_QUEUE_NAME: "no" };
    const overrides = new Map([["pgq_queue_name", "set"]]);
    const config = load("[skyq]\npgq_queue_name = file\nlog_count = 1\nlog_size = 5", { env, overrides });
    expect([config.get("pgq_queue_name"), config.source("pgq_queue_name")]).toEqual(["set", "--set"]);
    expect([config.get("log_count"), config.source("log_count")]).toEqual([7, "environment"]);
    expect([config.get("log_size"), config.source("log_size")]).toEqual([5, "file"]);
  });

  it("takes an older name of a key from a better source before the key itself", () => {
    const overrides = new Map([["queue_name", "set"]]);
    expect(load("[skyq]\npgq_queue_name = file", { overrides }).get("pgq_queue_name")).toBe("set");
    expect(load("[skyq]\nqueue_name = old\npgq_queue_name = new").get("pgq_queue_name")).toBe("new");
  });

  it("reads the old ticker's minutes, its -1 for unset, and prefers seconds", () => {
    expect(load("[pgqadm]\nmaint_delay_min = 5").get("maint_period")).toBe(300);
    expect(load("[pgqadm]\nmaint_delay_min = -1").get("maint_period")).toBe(120);
    expect(load("[pgqadm]\nmaint_delay_min = 5\nmaint_delay = 40").get("maint_period")).toBe(40);
  });

  it("puts other keys, predefined values and the environment's into a value", () => {
    const config = load(
      "[skyq]\nbase = /var/%(job_name)s\njob_name = j_%(service_name)s\nlogfile = %(base)s/%(pgq_queue_name)s.log\n" +
        "pidfile = %(config_dir)s/100%%",
      { env: { SKYQ_PGQ_QUEUE_NAME: "q%1" } },
    );
    expect(config.get("logfile")).toBe("/var/j_skyq/q%1.log");
    expect(config.get("pidfile")).toBe(`${Deno.realPathSync(directory)}/100%`);
    expect(config.warnings).toEqual([]); // "base" has a use
  });

  it("knows config_format 2", () => {
    const config = load("[skyq]\nconfig_format = 2\npidfile = ${paths:run}/$$${job_name}%(x)s\n[paths]\nrun = /run");
    expect(config.get("pidfile")).toBe("/run/$orders%(x)s");
  });

  it("refuses values that refer to themselves", () => {
    expect(failure(() => load("[skyq]\nlogfile = %(pidfile)s\npidfile = %(logfile)s")).message).toContain("itself");
    expect(failure(() => load("[skyq]\njob_name = %(job_name)s_x")).message).toContain("itself");
  });

  it("keeps a password exactly as it stands in the file", () => {
    const password = String.raw`p'w\x;#="%% $$ [a] ü`;
    const written = `dbname=x password='${password.replace(/[\\']/g, "\\$&").replaceAll("%", "%%")}'`;
    const expected = `dbname=x password='${password.replace(/[\\']/g, "\\$&")}'`;
    expect(load(`[skyq]\nprovider_db = ${written}`).get("provider_db")).toBe(expected);
  });

  it("reads lists, files, truth values and times", () => {
    const config = load(
      "[skyq]\ndatabase_list = a, b,\n  c ,\ndrop_triggers = Yes\npidfile = ~/x\nretry_period = 2 min",
    );
    expect(config.get("database_list")).toEqual(["a", "b", "c"]);
    expect(config.get("drop_triggers")).toBe(true);
    expect(config.get("pidfile")).toBe(`${Deno.env.get("HOME")}/x`);
    expect(config.get("retry_period")).toBe(120);
    expect(load("[skyq]\nlogfile = -\npidfile =").get("logfile")).toBe("-");
    expect(load("[skyq]\nlogfile = -\npidfile =").get("pidfile")).toBeNull();
  });

  const badValues: [string, string][] = [
    ["log_size = ten", 'key "log_size": value "ten" is not a whole number'],
    ["log_size = -1", 'value "-1" is not at least 0'],
    ["parallel_copies = 0", 'key "parallel_copies": value "0" is not at least 1'],
    ["lock_timeout = 10 parsecs", "is not a time in seconds"],
    ["drop_triggers = maybe", "is not 1 or 0"],
    ["ticker = of", 'value "of" is not "auto" or "on" or "off"'],
    ["maint_delay_min = x", 'key "maint_delay_min": value "x"'],
    ["config_format = 3", 'value "3" is not 1 or 2'],
    ["use_skylog = 1", 'key "use_skylog": "1" is not supported'],
  ];
  for (const [line, message] of badValues) {
    it(`refuses ${line}`, () => {
      const error = failure(() => load(`[skyq]\n${line}`));
      expect(error.message).toContain(message);
      expect(error.fault).toBe("config");
    });
  }

  it("takes keys of the originals that ask for nothing", () => {
    expect(load("[skyq]\nuse_skylog = 0\nsyslog = 0\nsyslog_ident = x").warnings).toEqual([]);
  });

  it("warns about keys it does not know, with a guess", () => {
    const config = load("[skyq]\nloop_dealy = 3\nzzz = 1\nlog_count = 1\nlog_count = 2", {
      env: { SKYQ_LOG_SIZ: "1", SKYQ_HOME: "/" },
    });
    expect(config.warnings).toEqual([
      'Config key "skyq/log_count" stands twice: the last one counts',
      'Unknown config key SKYQ_LOG_SIZ of the environment is ignored. Did you mean "log_size"?',
      'Unknown config key "loop_dealy" is ignored. Did you mean "loop_delay"?',
      'Unknown config key "zzz" is ignored',
    ]);
  });

  it("refuses unknown keys in [pgqd] and on the command line", () => {
    expect(failure(() => load("[pgqd]\ntiker_period = 1")).message).toContain('unknown key "tiker_period" in [pgqd]');
    const error = failure(() => load("[skyq]", { overrides: new Map([["log_siz", "1"]]) }));
    expect([error.exit, error.hint]).toEqual([2, 'Did you mean "log_size"?']);
  });

  const missing: [Partial<ConfigInput>["kind"], string, string][] = [
    ["pair", "provider_db = x\npgq_queue_name = q", '"subscriber_db" is missing'],
    ["pair", "provider_db =\nsubscriber_db = x\npgq_queue_name = q", '"provider_db" is missing'],
    ["provider", "db = x\npgq_queue_name = q", '"provider_db" is missing'],
    ["subscriber", "subscriber_db = x", '"pgq_queue_name" is missing'],
    ["node", PAIR, '"db" is missing in section [skyq]'],
    ["database", "", '"db" (or "provider_db") is missing'],
    ["ticker", "", '"db" (or "provider_db", "base_connstr") is missing'],
  ];
  for (const [kind, body, message] of missing) {
    it(`names the key that a config of kind "${kind}" lacks: ${message}`, () => {
      expect(failure(() => load(`[skyq]\n${body}`, { kind })).message).toContain(message);
    });
  }

  it("takes what is there for each kind", () => {
    for (const kind of ["pair", "provider", "subscriber", "database", "ticker"] as const) {
      expect(load(`[skyq]\n${PAIR}`, { kind }).need("provider_db")).toBe("dbname=a");
    }
    expect(load("[pgqd]\n", { kind: "ticker" }).get("initial_database")).toBe("template1");
    expect(load("[skyq]\ndb = x\nqueue_name = q", { kind: "node" }).need("db")).toBe("x");
  });

  it("works without a file from environment and --set", () => {
    const config = loadConfig({ file: null, kind: "database", env: { SKYQ_DB: "dbname=x" } });
    expect([config.get("db"), config.jobName]).toEqual(["dbname=x", "skyq"]);
  });
});

describe("sampleConfig()", () => {
  for (const kind of Object.keys(REQUIRED) as (keyof typeof REQUIRED)[]) {
    it(`can be used for "${kind}", as it is and with every key uncommented`, () => {
      const sample = sampleConfig(kind);
      expect(load(sample, { kind }).warnings).toEqual([]);
      const uncommented = sample.replaceAll(/^#(?!#)/gm, "");
      const config = load(uncommented, { kind });
      expect(config.warnings).toEqual([]);
      expect(config.jobName).toBe("orders_to_reports");
    });
  }

  it("shows every key in some sample, with the default it really has", () => {
    const samples = (["pair", "node", "ticker"] as const).map((kind) => sampleConfig(kind)).join("");
    for (const key of Object.keys(KEYS)) expect(samples).toContain(`${key} =`);
    const plain = load("[skyq]");
    const text = sampleConfig("pair").replaceAll(/^#(?!#)/gm, "");
    const sampled = load(text);
    for (const key of ["log_size", "loop_delay", "lock_timeout", "ticker", "drop_triggers"] as Key[]) {
      expect([key, sampled.get(key)]).toEqual([key, plain.get(key)]);
    }
  });

  it("merges values of --set", () => {
    const sample = sampleConfig("pair", new Map([["log_count", "9"]]));
    expect(load(sample).get("log_count")).toBe(9);
  });
});
