/** Two clusters that all tests share, and databases on them that one test file has for itself. */
import { afterAll } from "vitest";
import { Cluster, type ClusterAddress, PAIR_VARIABLE, startPair } from "./cluster.ts";

export interface Pair {
  readonly provider: Cluster;
  readonly subscriber: Cluster;
}

/** Clusters that nobody told us of, so that we stop them. */
const owned: Cluster[] = [];
let starting: Promise<Pair> | null = null;

/**
 * The shared clusters: those of the running `deno task test`, else two of our own, started at the first call. Tests
 * that stop or kill a server start one with {@link Cluster.start}: these here cannot be stopped.
 */
export function pair(): Promise<Pair> {
  return starting ??= openPair();
}

async function openPair(): Promise<Pair> {
  const told = Deno.env.get(PAIR_VARIABLE);
  if (told) {
    const [provider, subscriber] = JSON.parse(told) as [ClusterAddress, ClusterAddress];
    return { provider: Cluster.attach(provider), subscriber: Cluster.attach(subscriber) };
  }
  const [provider, subscriber] = await startPair();
  owned.push(provider, subscriber);
  return { provider, subscriber };
}

/** A database that one test file has for itself. */
export class LentDatabase {
  constructor(readonly cluster: Cluster, readonly name: string) {}

  /** A libpq keyword string. */
  dsn(user?: string): string {
    return this.cluster.dsn(this.name, user);
  }

  /** See {@link Cluster.sql}. */
  sql(text: string): Promise<string> {
    return this.cluster.sql(this.name, text);
  }

  drop(): Promise<void> {
    return this.cluster.dropDatabase(this.name);
  }
}

const lent: LentDatabase[] = [];
let lentCount = 0;

/** A list whose length its type knows: `const [a, b] = await lendDatabases(2)` needs no checks. */
type Several<N extends number, T> = number extends N ? T[]
  : N extends 1 ? [T]
  : N extends 2 ? [T, T]
  : N extends 3 ? [T, T, T]
  : N extends 4 ? [T, T, T, T]
  : T[];

/**
 * `count` fresh databases with names that nobody else has, the first on the provider's cluster, the second on the
 * subscriber's, and so on in turn. They are dropped, with everybody connected to them, when the test file ends.
 * @param options.template database on each cluster to clone; nobody may be connected to it
 * @param options.encoding of the databases, with the C locale
 */
export async function lendDatabases<N extends number>(
  count: N,
  options: { template?: string; encoding?: string } = {},
): Promise<Several<N, LentDatabase>> {
  const { provider, subscriber } = await pair();
  const fresh: LentDatabase[] = [];
  for (let index = 0; index < count; index++) {
    lentCount += 1;
    const name = `t${Deno.pid}_${crypto.randomUUID().slice(0, 8)}_${lentCount}`;
    const database = new LentDatabase(index % 2 === 0 ? provider : subscriber, name);
    await database.cluster.createDatabase(name, options);
    lent.push(database);
    fresh.push(database);
  }
  return fresh as Several<N, LentDatabase>;
}

afterAll(async () => {
  // What was lent on clusters of our own goes with them.
  if (owned.length === 0) { for (const database of lent.splice(0)) await database.drop(); }
  await Promise.all(owned.splice(0).map((cluster) => cluster[Symbol.asyncDispose]()));
});
