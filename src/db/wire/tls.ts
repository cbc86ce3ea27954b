/**
 * TLS as libpq's `sslmode` means it.
 *
 * Two ways, because neither does it all: `Deno.startTls` always checks the certificate, and is fast; node:tls can be
 * told not to check it (prefer, require without a root certificate) and can show a client certificate.
 */
import { isIP, type Socket } from "node:net";
import { connect as connectNodeTls } from "node:tls";
import { SkyqError } from "../../base/errors.ts";
import type { Target, TargetHost } from "../target.ts";
import { fromNodeStream, type Transport } from "./transport.ts";

/** What of the server's certificate is checked, and with what; made by `planTls`. */
export interface TlsPlan {
  /** none: anybody may answer · ca: signed by a root of ours · full: and issued for the host's name */
  verify: "none" | "ca" | "full";
  /** PEM text of the trusted roots; null when nothing is verified. */
  roots: string | null;
  clientCert: { cert: string; key: string } | null;
  serverName: string;
}

/** Where systems keep the roots that OpenSSL trusts by default. */
const SYSTEM_ROOTS = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
  "/usr/local/etc/openssl/cert.pem",
];

/**
 * Reads the files that the target's TLS settings name.
 * @throws {SkyqError} `config` when one is missing, unreadable or unfit
 */
export function planTls(target: Target, host: TargetHost): TlsPlan {
  const mustVerify = target.sslMode === "verify-ca" || target.sslMode === "verify-full";
  let roots: string | null = null;
  if (target.sslRootCert === "system") {
    roots = readSystemRoots();
  } else if (target.sslRootCert !== null) {
    // As in libpq: a root certificate that is there is used in every mode, a missing one matters where it is needed.
    roots = readPem(target.sslRootCert, "root certificate", mustVerify);
    if (roots !== null && !roots.includes("-----BEGIN ")) {
      throw new SkyqError("config", `Cannot use root certificate file "${target.sslRootCert}": not in PEM format`);
    }
  }
  if (mustVerify && roots === null) {
    throw new SkyqError("config", `Cannot use sslmode "${target.sslMode}": no root certificate given`, {
      hint: 'Set sslrootcert to a file, or to "system", or put the root into ~/.postgresql/root.crt.',
    });
  }
  const verify = target.sslMode === "verify-full" ? "full" : roots !== null ? "ca" : "none";
  return { verify, roots, clientCert: readClientCert(target), serverName: host.host };
}

function readClientCert(target: Target): TlsPlan["clientCert"] {
  if (target.sslCert === null) return null;
  const cert = readPem(target.sslCert, "client certificate", true)!;
  if (target.sslKey === null) {
    throw new SkyqError("config", `Cannot use client certificate "${target.sslCert}": no sslkey given`, {
      hint: "Set sslkey to the file of its private key.",
    });
  }
  const key = readPem(target.sslKey, "private key", true)!;
  if (/-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(key)) {
    throw new SkyqError("config", `Cannot use private key "${target.sslKey}": it is encrypted`, {
      hint: "Write an unencrypted copy that only the user running skyq may read: openssl pkey -in old.key -out new.key",
    });
  }
  const mode = Deno.build.os === "windows" ? null : Deno.statSync(target.sslKey).mode;
  // Owned by root and readable by a group is how system-wide keys are handed out; libpq takes those as well.
  if (mode !== null && (mode & 0o037) !== 0) {
    throw new SkyqError("config", `Cannot use private key "${target.sslKey}": others may read or change it`, {
      hint: "chmod 0600 it (0640 if root owns it).",
    });
  }
  return { cert, key };
}

function readPem(path: string, what: string, isRequired: boolean): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    if (!isRequired && cause instanceof Deno.errors.NotFound) return null;
    const state = cause instanceof Deno.errors.NotFound ? "no such file" : "it cannot be read";
    throw new SkyqError("config", `Cannot use ${what} file "${path}": ${state}`, { cause });
  }
}

function readSystemRoots(): string {
  const paths = [Deno.env.get("SSL_CERT_FILE"), ...SYSTEM_ROOTS];
  for (const path of paths) {
    const text = path ? readPem(path, "root certificate", false) : null;
    if (text !== null) return text;
  }
  throw new SkyqError("config", 'Cannot use sslrootcert "system": no root certificates found on this machine', {
    hint: "Name their file in SSL_CERT_FILE, or in sslrootcert.",
  });
}

/** Whether only node:tls can do what `plan` asks for. */
export function needsNodeTls(plan: TlsPlan): boolean {
  return plan.verify === "none" || plan.clientCert !== null;
}

/** Speaks TLS over `conn` from here on. @throws whatever says that the handshake or the certificate failed */
export function startDenoTls(conn: Deno.TcpConn, plan: TlsPlan, isDirect: boolean): Promise<Transport> {
  return withoutDefaultRoots(async () => {
    const options = {
      hostname: plan.serverName,
      caCerts: splitPem(plan.roots!),
      alpnProtocols: isDirect ? DIRECT_ALPN : undefined,
      unsafelyDisableHostnameVerification: plan.verify === "ca",
    };
    const secured = await Deno.startTls(conn, options);
    await secured.handshake();
    return secured;
  });
}

/**
 * Deno adds `caCerts` to its own set of public roots, which would let anybody with a public certificate pass for a server
 * whose root the operator has named. The set is read once, at its first use, from where this variable says: nowhere.
 */
async function withoutDefaultRoots<T>(work: () => Promise<T>): Promise<T> {
  const name = "DENO_TLS_CA_STORE";
  const before = Deno.env.get(name);
  Deno.env.set(name, "");
  try {
    return await work();
  } finally {
    if (before === undefined) Deno.env.delete(name);
    else Deno.env.set(name, before);
  }
}

/**
 * As `startDenoTls`, over a socket of node:net. Not over a stream of our own: there Deno 2.5 hangs at the end of the stream.
 */
export function startNodeTls(socket: Socket, plan: TlsPlan, isDirect: boolean): Promise<Transport> {
  return withoutDefaultRoots(() =>
    new Promise((resolve, reject) => {
      const stream = connectNodeTls({
        socket,
        servername: isIP(plan.serverName) === 0 ? plan.serverName : undefined,
        rejectUnauthorized: plan.verify !== "none",
        ...(plan.roots === null ? {} : { ca: splitPem(plan.roots) }),
        ...(plan.verify === "full" ? { host: plan.serverName } : { checkServerIdentity: () => undefined }),
        ...(isDirect ? { ALPNProtocols: DIRECT_ALPN } : {}),
        ...(plan.clientCert ?? {}),
      });
      stream.once("error", reject);
      stream.once("close", () => reject(new Deno.errors.UnexpectedEof("closed during the TLS handshake")));
      stream.once("secureConnect", () => resolve(fromNodeStream(stream)));
    })
  );
}

/** What a server expects to be asked for by a client that begins with TLS at once. */
const DIRECT_ALPN = ["postgresql"];

function splitPem(text: string): string[] {
  return text.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? [];
}
