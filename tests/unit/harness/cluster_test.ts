import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fileURLToPath } from "node:url";
import { Cluster } from "../../harness/cluster.ts";
import { childrenOf, commandLine, isAlive } from "../../harness/proc.ts";
import { waitFor } from "../../harness/wait_for.ts";

const clusterModule = new URL("../../harness/cluster.ts", import.meta.url).href;
const config = fileURLToPath(new URL("../../../deno.json", import.meta.url));

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function postmasterOf(dataDir: string): number {
  return Number(Deno.readTextFileSync(`${dataDir}/postmaster.pid`).split("\n")[0]);
}

/** A cluster that another process made, and that process. */
async function clusterElsewhere(): Promise<{ child: Deno.ChildProcess; dir: string; postmaster: number }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["eval", "--no-check", "--config", config],
      `import { Cluster } from "${clusterModule}";
       const cluster = await Cluster.start();
       console.log(JSON.stringify(cluster.address));
       setInterval(() => {}, 1000);`,
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let line = "";
  while (!line.includes("\n")) line += (await reader.read()).value ?? "\n";
  await reader.cancel();
  const { dataDir, socketDir } = JSON.parse(line);
  return { child, dir: socketDir, postmaster: postmasterOf(dataDir) };
}

describe("Cluster", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start({ name: "it's mine", settings: { work_mem: "5MB" }, pgHba: [] });
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  it("runs with its settings over the defaults", async () => {
    const keys = ["cluster_name", "work_mem", "wal_level", "max_connections", "timezone", "fsync"];
    const text = await cluster.sql("postgres", `select ${keys.map((key) => `current_setting('${key}')`).join()}`);
    expect(text).toBe("it's mine|5MB|logical|300|UTC|off");
  });

  it("lets nobody in over TCP when pg_hba says so", async () => {
    using conn = await Deno.connect({ hostname: cluster.host, port: cluster.port });
    const user = "user\0postgres\0\0";
    const packet = new Uint8Array(8 + user.length);
    new DataView(packet.buffer).setInt32(0, packet.length);
    new DataView(packet.buffer).setInt32(4, 3 << 16);
    new TextEncoder().encodeInto(user, packet.subarray(8));
    await conn.write(packet);
    const reply = new Uint8Array(512);
    const size = await conn.read(reply);
    expect(new TextDecoder().decode(reply.subarray(0, size ?? 0))).toContain("no pg_hba.conf entry");
  });

  it("sql() prints rows as psql -At does and throws the server's error", async () => {
    const text = await cluster.sql(
      "postgres",
      "select 1, null, true, 'a|b'; select 'second'; copy (values (3)) to stdout",
    );
    expect(text).toBe("1||t|a|b\nsecond\n3");
    await expect(cluster.sql("postgres", "select 1/0")).rejects.toMatchObject({ sqlstate: "22012" });
    await expect(cluster.sql("postgres", "copy pg_class from stdin")).rejects.toThrow("pg_class");
  });

  it("sql() reads results longer than one read", async () => {
    const text = await cluster.sql("postgres", "select repeat('x', 300000) union all select 'end'");
    expect(text.length).toBe(300_004);
  });

  it("stops and starts again on the same port", async () => {
    const { port } = cluster;
    await cluster.createDatabase("kept");
    await cluster.restart();
    expect(cluster.port).toBe(port);
    expect(await cluster.sql("kept", "select current_setting('port')::int")).toBe(String(port));
    await cluster.stop();
    expect(cluster.isRunning).toBe(false);
    await cluster.restart();
  });

  it("kill9() ends every process, and the cluster recovers what was committed", async () => {
    await cluster.sql("kept", "create table t as select 1 as a");
    const postmaster = postmasterOf(cluster.dataDir);
    const sleeper = cluster.sql("kept", "select pg_backend_pid(), pg_sleep(60)").catch((error) => error);
    const backend = await waitFor(
      () => cluster.sql("postgres", "select pid from pg_stat_activity where wait_event = 'PgSleep'"),
      { what: "the sleeping backend" },
    );
    await waitFor(() => isAlive(Number(backend)), { what: "its number" });
    await cluster.kill9();
    expect(await sleeper).toBeInstanceOf(Error);
    expect([isAlive(postmaster), isAlive(Number(backend)), cluster.isRunning]).toEqual([false, false, false]);
    await cluster.restart();
    expect(await cluster.sql("kept", "select a from t")).toBe("1");
  });

  it("leaves no process and no directory when disposed of", async () => {
    const other = await Cluster.start();
    const postmaster = postmasterOf(other.dataDir);
    expect(isAlive(postmaster)).toBe(true);
    await other[Symbol.asyncDispose]();
    expect([isAlive(postmaster), exists(other.socketDir)]).toEqual([false, false]);
  });

  it("says what the server's log says when it cannot start", async () => {
    const error = await Cluster.start({ settings: { shared_buffers: "many" } }).catch((error) => error);
    expect(error.message).toContain('"shared_buffers": "many"');
    const [, dir = ""] = /keeps "([^"]+)\/log"/.exec(error.message) ?? [];
    expect([dir.length > 0, exists(dir)]).toEqual([true, false]);
  });

  it.each(["SIGKILL", "SIGTERM", "SIGINT"] as const)("goes away when its process gets %s", async (name) => {
    const { child, dir, postmaster } = await clusterElsewhere();
    child.kill(name);
    await child.status;
    await waitFor(() => !isAlive(postmaster) && !exists(dir), { what: "the server's end" });
  });

  it("is cleaned up by the next process when its supervisor was killed as well", async () => {
    const { child, dir, postmaster } = await clusterElsewhere();
    const supervisor = childrenOf(child.pid).filter((pid) => commandLine(pid).includes(dir));
    expect(supervisor.length).toBe(1);
    for (const pid of [...supervisor.flatMap(childrenOf), ...supervisor]) {
      if (pid !== postmaster) Deno.kill(pid, "SIGKILL");
    }
    child.kill("SIGKILL");
    await child.status;
    expect([isAlive(postmaster), exists(dir)]).toEqual([true, true]);
    const next = await clusterElsewhere();
    next.child.kill("SIGTERM");
    await next.child.status;
    await waitFor(() => !isAlive(postmaster) && !exists(dir), { what: "the server's end" });
    expect(await cluster.sql("postgres", "select 'untouched'")).toBe("untouched");
  });
});
