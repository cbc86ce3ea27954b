/** The two servers of a bench, as a production server would be set up, and what to say about them. */
import postgres from "postgres";
import { type Cluster, startPair } from "../../tests/harness/cluster.ts";
import type { LentDatabase } from "../../tests/harness/pair.ts";
import { SCHEMA } from "../data/t8.ts";

export interface BenchPair extends AsyncDisposable {
  readonly provider: Cluster;
  readonly subscriber: Cluster;
  /** The servers' first processes. */
  serverPids(): number[];
}

/** Starts both. @param fsync whether commits reach the disk */
export async function benchPair({ fsync }: { fsync: boolean }): Promise<BenchPair> {
  const [provider, subscriber] = await startPair({
    fsync,
    settings: {
      shared_buffers: "512MB",
      max_wal_size: "8GB",
      checkpoint_timeout: "1h",
      jit: "off",
      max_parallel_workers_per_gather: "0",
      // Vacuum and analyze run between the measurements, the same for everybody.
      autovacuum: "off",
      // A subscription that is enabled again would wait for five seconds.
      wal_retrieve_retry_interval: "200ms",
    },
  });
  return {
    provider,
    subscriber,
    serverPids: () => [provider, subscriber].map((cluster) => postmasterPid(cluster.dataDir)),
    async [Symbol.asyncDispose]() {
      await Promise.all([provider[Symbol.asyncDispose](), subscriber[Symbol.asyncDispose]()]);
    },
  };
}

function postmasterPid(dataDir: string): number {
  return Number(Deno.readTextFileSync(`${dataDir}/postmaster.pid`).split("\n")[0]);
}

export type Sql = postgres.Sql;

/** One side of a bench: its database and a connection that is kept. */
export interface Side {
  readonly database: LentDatabase;
  readonly sql: Sql;
}

/** A database with the bench's tables on each side, dropped at the end. */
export class Sides implements AsyncDisposable {
  private constructor(readonly provider: Side, readonly subscriber: Side) {}

  static async create(clusters: BenchPair, name: string): Promise<Sides> {
    const open = async (cluster: Cluster): Promise<Side> => {
      await cluster.createDatabase(name);
      const database: LentDatabase = {
        cluster,
        name,
        dsn: (user) => cluster.dsn(name, user),
        sql: (text) => cluster.sql(name, text),
        drop: () => cluster.dropDatabase(name),
      };
      await database.sql(SCHEMA);
      const sql = postgres({
        host: cluster.host,
        port: cluster.port,
        user: cluster.superuser,
        database: name,
        max: 1,
        onnotice: () => {},
      });
      return { database, sql };
    };
    return new Sides(await open(clusters.provider), await open(clusters.subscriber));
  }

  get both(): readonly [Side, Side] {
    return [this.provider, this.subscriber];
  }

  /** Fresh statistics, no dead rows, nothing left to be written: every measurement starts like this. */
  async settle(): Promise<void> {
    for (const { sql } of this.both) {
      await sql.unsafe("vacuum (analyze) t8");
      await sql.unsafe("checkpoint");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { sql, database } of this.both) {
      await sql.end();
      await database.drop();
    }
  }
}

/** The machine and the versions, one line. */
export async function machine(clusters: BenchPair): Promise<string> {
  const cpu = /^model name\s*:\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? Deno.build.arch;
  const version = (await clusters.provider.sql("postgres", "show server_version")).trim();
  const memoryGb = Math.round(Deno.systemMemoryInfo().total / 2 ** 30);
  return `${navigator.hardwareConcurrency} × ${cpu}, ${memoryGb} GB, PostgreSQL ${version}, Deno ${Deno.version.deno}, ` +
    "both servers on this machine";
}
