/** What a person can get wrong: each gets a clear answer, and leaves nothing behind. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster } from "../../harness/cluster.ts";
import { LentDatabase } from "../../harness/pair.ts";
import { Job } from "../job.ts";

const PASSWORD = "s3cr3t-pass";

/** Everything a failed command could have left in a database. */
const TRACES = `
  select string_agg(n.nspname, ',' order by n.nspname) from pg_namespace n where n.nspname !~ '^(pg_|information_schema$)';
  select count(*) from pg_trigger where not tgisinternal;`;

describe("wrong input", () => {
  let cluster: Cluster;
  let job: Job;

  beforeAll(async () => {
    // Passwords by TCP; the superuser comes in by the socket.
    cluster = await Cluster.start({ name: "wrong input", pgHba: ["host all all 127.0.0.1/32 scram-sha-256"] });
    const [provider, subscriber] = [new LentDatabase(cluster, "p"), new LentDatabase(cluster, "s")];
    await cluster.sql(
      "postgres",
      `alter role postgres password '${PASSWORD}'; create role guest login password '${PASSWORD}'`,
    );
    for (const database of [provider, subscriber]) {
      await cluster.createDatabase(database.name);
      await database.sql(`
        create table good (id integer primary key, name text);
        create table keyless (id integer);
        create table wide (id integer primary key, more text);
        create table surplus (id integer primary key);`);
    }
    await subscriber.sql(`
      alter table wide drop column more;
      alter table surplus add w text not null;
      create table only_here (id integer primary key)`);
    job = new Job({ provider, subscriber });
    Deno.env.set("PGPASSWORD", PASSWORD);
  });

  afterAll(async () => {
    Deno.env.delete("PGPASSWORD");
    await job?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  function writeConfig(name: string, text: string): void {
    Deno.writeTextFileSync(`${job.dir}/${name}`, text);
  }

  /** Runs a line that must fail. @returns what it said */
  async function refused(line: string, code: number): Promise<string> {
    const traces = await job.provider.sql(TRACES) + await job.subscriber.sql(TRACES);
    const result = await job.try(...line.split(" "));
    expect({ line, code: result.code, stderr: result.stderr }).toEqual({ line, code, stderr: result.stderr });
    expect(result.stdout).toBe("");
    expect(result.stderr).not.toContain(PASSWORD);
    expect(await job.provider.sql(TRACES) + await job.subscriber.sql(TRACES)).toBe(traces);
    return result.stderr;
  }

  describe("config", () => {
    it("no config", async () => {
      expect(await refused("provider install", 2)).toContain("need config file");
      expect(await refused("replay", 2)).toContain("need config file");
    });

    it("a config that is not there, or cannot be read, or is none", async () => {
      expect(await refused("replay nowhere.ini", 1)).toContain("nowhere.ini");
      Deno.mkdirSync(`${job.dir}/directory.ini`);
      expect(await refused("replay directory.ini", 1)).toContain("directory.ini");
      writeConfig("prose.ini", "Dear skyq, please replicate my tables.\n");
      expect(await refused("replay prose.ini", 1)).toContain("prose.ini");
    });

    it("a missing key", async () => {
      writeConfig("half.ini", "[skyq]\nprovider_db = dbname=p\npgq_queue_name = q\n");
      expect(await refused("replay half.ini", 1)).toContain("subscriber_db");
      expect(await refused("provider install half.ini --set pgq_queue_name=", 1)).toContain("pgq_queue_name");
    });
  });

  describe("command line", () => {
    it("an unknown command, with the nearest one", async () => {
      expect(await refused("reply conf.ini", 2)).toMatch(/Unknown command 'reply'[^]*replay/);
      expect(await refused("provider instal conf.ini", 2)).toMatch(/bad subcommand[^]*install/);
    });

    it("an unknown option, with the nearest one", async () => {
      expect(await refused("replay conf.ini --deamon", 2)).toMatch(/Unknown option "--deamon"[^]*--daemon/);
    });
  });

  describe("servers", () => {
    async function refusedAt(dsn: string): Promise<string> {
      writeConfig("other.ini", `[skyq]\nprovider_db = ${dsn}\npgq_queue_name = q\n`);
      return await refused("provider install other.ini", 1);
    }

    it("a server that is not there", async () => {
      expect(await refusedAt("host=127.0.0.1 port=1 dbname=p user=postgres")).toMatch(/127\.0\.0\.1[^]*hint: /);
    });

    it("a wrong password", async () => {
      expect(await refusedAt(`${job.provider.dsn()} password=wrong`)).toMatch(
        /password authentication failed[^]*hint: /,
      );
    });

    it("a database that is not there", async () => {
      expect(await refusedAt(cluster.dsn("nowhere"))).toMatch(/database "nowhere" does not exist[^]*hint: /);
    });

    it("no right to create a schema", async () => {
      expect(await refusedAt(job.provider.dsn("guest"))).toMatch(
        /role guest may not create in p[^]*GRANT CREATE ON DATABASE p TO guest/,
      );
    });
  });

  describe("tables", () => {
    it("nothing is installed yet", async () => {
      expect(await refused("provider add conf.ini good", 1)).toMatch(
        /Event queue does not exist yet[^]*provider install/,
      );
      expect(await refused("subscriber install conf.ini", 1)).toMatch(
        /Event queue does not exist yet[^]*provider install/,
      );
      await job.run("provider", "install", "conf.ini");
      expect(await refused("subscriber add conf.ini good", 1)).toContain("skyq subscriber install");
      expect(await refused("replay conf.ini", 1)).toContain("skyq subscriber install");
      await job.run("subscriber", "install", "conf.ini");
    });

    it("a table that is not there, or has no primary key: not even the good one beside it is added", async () => {
      expect(await refused("provider add conf.ini good nowhere", 1)).toContain("No table matches nowhere");
      expect(await refused("provider add conf.ini good keyless", 1)).toContain("public.keyless has no primary key");
      expect(await refused("provider add conf.ini", 2)).toContain("--all");
      expect(await job.run("provider", "tables", "conf.ini")).toBe("");
    });

    it("--all and globs take what fits, and end with 1 when they passed something over", async () => {
      const glob = await job.try("provider", "add", "conf.ini", "goo*", "key*");
      expect(glob.code).toBe(1);
      expect(glob.stderr).toContain("WARNING Table public.keyless has no primary key; passed over");
      expect(await job.run("provider", "tables", "conf.ini")).toBe("public.good\n");
      const all = await job.try("provider", "add", "conf.ini", "--all");
      expect(all.code).toBe(1);
      expect(all.stderr).toContain("WARNING Table public.keyless has no primary key; passed over");
      expect(await job.run("provider", "tables", "conf.ini")).toBe("public.good\npublic.surplus\npublic.wide\n");
    });

    it("a table that is added already", async () => {
      const again = await job.try("provider", "add", "conf.ini", "good");
      expect(again.code).toBe(0);
      expect(again.stderr).toContain("Table public.good already added");
      expect(await job.run("provider", "tables", "conf.ini")).toBe("public.good\npublic.surplus\npublic.wide\n");
    });

    it("a subscriber's table that differs, or that the provider does not send: nothing is added", async () => {
      expect(await refused("subscriber add conf.ini good wide", 1)).toMatch(
        /public\.wide: column more on provider not on/,
      );
      expect(await refused("subscriber add conf.ini good surplus", 1)).toContain(
        "column w on subscriber not on provider, and it is NOT NULL",
      );
      expect(await refused("subscriber check conf.ini surplus", 3)).toContain("column w on subscriber not on provider");
      const { stdout } = await job.try("subscriber", "check", "conf.ini", "good", "wide", "--json");
      expect(JSON.parse(stdout)).toEqual({
        table: "public.wide",
        level: "ERROR",
        text: "public.wide: column more on provider not on subscriber",
      });
      expect(await refused("subscriber add conf.ini good only_here", 1)).toContain(
        "public.only_here not attached to queue",
      );
      expect(await refused("subscriber add conf.ini good nowhere", 1)).toContain(
        "No tables found that match nowhere on the subscriber",
      );
      expect(await job.run("subscriber", "tables", "conf.ini")).not.toContain("public.");
    });

    it("a table that only the provider has is said to be missing on the subscriber", async () => {
      await job.provider.sql("create table late (id integer primary key)");
      await job.run("provider", "add", "conf.ini", "late");
      expect(await refused("subscriber add conf.ini late", 1)).toContain(
        "No tables found that match late on the subscriber: the provider sends public.late, make them",
      );
    });

    it("a glob passes over what the provider does not send", async () => {
      const { code, stderr } = await job.try("subscriber", "add", "conf.ini", "*o*_?e*", "g*");
      expect({ code, stderr }).toEqual({ code: 0, stderr });
      expect(stderr).toContain("public.only_here not attached to queue, passed over");
      expect(await job.run("subscriber", "tables", "conf.ini")).toContain("public.good");
    });

    it("a table that is gone from the provider is not copied anew", async () => {
      await job.provider.sql("drop table good");
      await job.subscriber.sql("update londiste.table_info set merge_state = 'ok' where local");
      expect(await refused("subscriber resync conf.ini good", 1)).toContain("public.good is gone from the provider");
      expect(await job.states()).toEqual(new Map([["public.good", "ok"]]));
    });
  });
});
