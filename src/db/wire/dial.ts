/** From a target to a byte stream: hosts, addresses and encryption in libpq's order, within a time limit. */
import { lookup } from "node:dns/promises";
import process from "node:process";
import { connect as connectSocket, isIP, type Socket } from "node:net";
import { SkyqError } from "../../base/errors.ts";
import { CERTIFICATE_HINT, toSkyqError } from "../errors.ts";
import type { Target, TargetHost } from "../target.ts";
import { MessageWriter, SSL_REQUEST, tag } from "./messages.ts";
import { needsNodeTls, planTls, startDenoTls, startNodeTls, type TlsPlan } from "./tls.ts";
import { closeQuietly, type Transport, writeAll } from "./transport.ts";

/** How one connection was made; a cancel request takes the same way. */
export interface Route {
  readonly host: TargetHost;
  /** IP address, or path of a socket. */
  readonly address: string;
  readonly tls: TlsPlan | null;
  readonly isDirectTls: boolean;
}

/**
 * Tries what the target allows, one after the other, until `start` succeeds with one. The time limit covers each try from
 * the first packet to the end of `start`; at its end, or when `signal` aborts, the transport is closed under `start`.
 * @param start speaks the protocol's start-up; owns the transport once it has returned
 * @throws {SkyqError} `connect`, `auth`, `config`, `stopped`, … of the last try, or of the first that settles the matter
 */
export async function dial<T>(
  target: Target,
  signal: AbortSignal | undefined,
  start: (transport: Transport, route: Route, isLastChance: boolean) => Promise<T>,
): Promise<T> {
  const once = target.isHostOrderRandom ? shuffled(target.hosts) : target.hosts;
  // prefer-standby: all are asked for a standby, then all again for anything.
  const hosts = target.sessionAttrs === "prefer-standby" ? [...once, ...once] : once;
  let lastError: unknown = null;
  for (const [index, host] of hosts.entries()) {
    const startThere = (transport: Transport, route: Route) => start(transport, route, index >= once.length);
    const act = `Cannot connect to ${target.displayAt(host)}`;
    try {
      for (const address of await addressesOf(host, target.connectTimeoutMs, act, signal)) {
        try {
          return await tryAddress(target, host, address, act, signal, startThere);
        } catch (error) {
          if (!isWorthAnother(error)) throw error;
          lastError = error;
        }
      }
    } catch (error) {
      if (!isWorthAnother(error)) throw error;
      lastError = error;
    }
  }
  throw lastError;
}

/** Opens a stream the same way again, for a cancel request, and lends it to `work`; both end within `limitMs`. */
export function redial(route: Route, limitMs: number, act: string, work: (transport: Transport) => Promise<void>) {
  return limited(limitMs, undefined, act, async (guard) => {
    const { transport } = await open(route, false, act, guard);
    await work(transport);
    closeQuietly(transport);
  });
}

/** After a wrong password or a bad setting the other hosts are not asked. */
function isWorthAnother(error: unknown): boolean {
  if (!(error instanceof SkyqError) || error.sqlstate === "3D000") return false;
  return ["connect", "connection-lost", "protocol"].includes(error.fault);
}

async function tryAddress<T>(
  target: Target,
  host: TargetHost,
  address: string,
  act: string,
  signal: AbortSignal | undefined,
  start: (transport: Transport, route: Route) => Promise<T>,
): Promise<T> {
  const attempt = (tls: TlsPlan | null, mayBePlain = false) =>
    limited(target.connectTimeoutMs, signal, act, async (guard) => {
      const { transport, route } = await open(
        { host, address, tls, isDirectTls: target.isDirectTls },
        mayBePlain,
        act,
        guard,
      );
      const starting = start(transport, route);
      return await (route.tls === null ? starting : explained(act, starting));
    });
  if (host.isUnix || target.sslMode === "disable") return await attempt(null);
  const plan = planTls(target, host);
  if (target.sslMode === "allow") return await either(() => attempt(null), () => attempt(plan));
  if (target.sslMode === "prefer") return await either(() => attempt(plan, true), () => attempt(null));
  return await attempt(plan);
}

/** `second` only when `first` failed for its kind of encryption; when that fails as well, what `first` said. */
async function either<T>(first: () => Promise<T>, second: () => Promise<T>): Promise<T> {
  try {
    return await first();
  } catch (error) {
    // 28000 is how the server says that pg_hba.conf has no line for this kind of connection.
    const isAboutEncryption = error instanceof SkyqError &&
      (error.facts.tls === "failed" || error.sqlstate === "28000");
    if (!isAboutEncryption) throw error;
    return await second().catch((secondError) => {
      throw secondError instanceof SkyqError && secondError.sqlstate === "28000" ? error : secondError;
    });
  }
}

/** Name look-up gives all addresses, so that "localhost" finds a server that listens on one of its two. */
async function addressesOf(host: TargetHost, limitMs: number, act: string, signal?: AbortSignal): Promise<string[]> {
  if (host.isUnix) return [`${host.host}/.s.PGSQL.${host.port}`];
  const literal = host.hostaddr ?? host.host;
  if (isIP(literal) !== 0) return [literal];
  return await limited(limitMs, signal, act, async () => {
    // Deno 2.5 warns, on stderr and once per process, of a module that its own look-up uses.
    const before = process.noDeprecation;
    process.noDeprecation = true;
    const found = await lookup(host.host, { all: true }).finally(() => process.noDeprecation = before);
    return found.map(({ address }) => address);
  });
}

async function open(route: Route, mayBePlain: boolean, act: string, guard: Guard) {
  if (route.host.isUnix) {
    const transport: Transport = await guard.own(Deno.connect({ transport: "unix", path: route.address }));
    return { transport, route };
  }
  const { tls } = route;
  if (tls !== null) {
    const secured = needsNodeTls(tls)
      ? await openNodeTls(route, tls, act, guard)
      : await openDenoTls(route, tls, act, guard);
    if (secured !== null) return { transport: secured, route };
    if (!mayBePlain) {
      throw new SkyqError("connect", `${act}: the server does not offer TLS`, {
        hint: "Turn ssl on in the server's configuration, or ask for less with sslmode.",
      });
    }
  }
  return { transport: await openTcp(route, guard) as Transport, route: { ...route, tls: null } };
}

async function openTcp(route: Route, guard: Guard): Promise<Deno.TcpConn> {
  const conn = await guard.own(Deno.connect({ hostname: route.address, port: route.host.port }));
  conn.setNoDelay(true);
  conn.setKeepAlive(true);
  return conn;
}

/** @returns null when the server does not offer TLS */
async function openDenoTls(route: Route, tls: TlsPlan, act: string, guard: Guard): Promise<Transport | null> {
  const conn = await openTcp(route, guard);
  if (!route.isDirectTls) {
    await writeAll(conn, TLS_REQUEST);
    // Exactly one byte: more, sent by somebody in between before the handshake, must not be believed.
    const answer = new Uint8Array(1);
    if (await conn.read(answer) === null) throw new Deno.errors.UnexpectedEof("closed after the request for TLS");
    if (!isYes(answer, act)) return null;
  }
  return await guard.own(explained(act, startDenoTls(conn, tls, route.isDirectTls)));
}

/** As `openDenoTls`, by node:net and node:tls. */
async function openNodeTls(route: Route, tls: TlsPlan, act: string, guard: Guard): Promise<Transport | null> {
  const socket = connectSocket({ host: route.address, port: route.host.port, noDelay: true, keepAlive: true });
  socket.on("error", () => {}); // whoever waits is told by a listener of his own; without one Node ends the process
  await guard.own(Promise.resolve({ close: () => socket.destroy() }));
  await happened(socket, "connect");
  if (!route.isDirectTls) {
    const answered = happened<Uint8Array>(socket, "data");
    socket.write(TLS_REQUEST);
    const answer = await answered;
    if (!isYes(answer, act)) {
      socket.destroy();
      return null;
    }
  }
  return await guard.own(explained(act, startNodeTls(socket, tls, route.isDirectTls)));
}

const TLS_REQUEST = new MessageWriter().begin().int32(SSL_REQUEST).end().done();

function isYes(answer: Uint8Array, act: string): boolean {
  if (answer.length === 1 && answer[0] === tag("S")) return true;
  if (answer.length === 1 && answer[0] === tag("N")) return false;
  throw new SkyqError("protocol", `${act}: unexpected answer to the request for TLS`, {
    hint: "Is it a PostgreSQL server that listens there?",
  });
}

/** The next such event of a socket; an error or its end instead rejects. */
function happened<T>(socket: Socket, event: "connect" | "data"): Promise<T> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(new Deno.errors.UnexpectedEof("closed during the start-up"));
    socket.once("error", reject);
    socket.once("close", onClose);
    socket.once(event, (value: T) => {
      socket.off("close", onClose);
      resolve(value);
    });
  });
}

/**
 * A failed handshake as an error that says so; `either` knows it by its facts. Around the start-up as well: a server tells
 * its opinion of a client certificate, and Deno 2.5 its own of the server's, only when the first bytes move.
 */
async function explained<T>(act: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof SkyqError || error instanceof Deno.errors.UnexpectedEof) throw error;
    const told = toSkyqError(error, `${act}: TLS failed`, { connecting: true });
    throw new SkyqError("connect", told.message, { hint: CERTIFICATE_HINT, facts: { tls: "failed" }, cause: error });
  }
}

/** Closes what a try has opened when its time is over. */
class Guard {
  #open: { close(): void }[] = [];
  #isOver = false;

  /** The resource `opening` resolves to, closed at once when it comes too late. */
  async own<R extends { close(): void }>(opening: Promise<R>): Promise<R> {
    const resource = await opening;
    if (this.#isOver) closeQuietly(resource);
    else this.#open.push(resource);
    return resource;
  }

  closeAll(): void {
    this.#isOver = true;
    for (const resource of this.#open.reverse()) closeQuietly(resource);
  }
}

/** Runs `work` for at most `limitMs` or until `signal` aborts; on any failure closes what it has opened. */
async function limited<T>(
  limitMs: number,
  signal: AbortSignal | undefined,
  act: string,
  work: (guard: Guard) => Promise<T>,
): Promise<T> {
  const guard = new Guard();
  const ended = Promise.withResolvers<never>();
  const onAbort = () => ended.reject(new SkyqError("stopped", `${act}: asked to stop`, { cause: signal?.reason }));
  const timer = setTimeout(() => {
    ended.reject(
      new SkyqError("connect", `${act}: no answer within ${limitMs / 1000} s`, {
        hint: "Is the host right and reachable? connect_timeout sets the limit.",
        facts: { limitMs },
      }),
    );
  }, limitMs);
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const working = work(guard);
    working.catch(() => {}); // when it loses the race
    return await Promise.race([ended.promise, working]);
  } catch (error) {
    guard.closeAll();
    throw toSkyqError(error, act, { connecting: true });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items.map((item) => ({ item, key: Math.random() })).sort((a, b) => a.key - b.key).map(({ item }) => item);
}
