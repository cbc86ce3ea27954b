/** Who we are: answers the server's requests for authentication as libpq does. */
import { SkyqError } from "../../base/errors.ts";
import type { Target, TargetHost } from "../target.ts";
import { decodeText, MessageWriter, readInt32, readStrings } from "./messages.ts";
import { md5Password, Scram, ScramError } from "./scram.ts";

/** Codes of the Authentication messages. */
const AUTH = { ok: 0, cleartext: 3, md5: 5, gss: 7, sspi: 9, sasl: 10, saslContinue: 11, saslFinal: 12 } as const;

const UNSUPPORTED: Record<number, string> = {
  2: "Kerberos 5",
  6: "SCM credentials",
  [AUTH.gss]: "GSSAPI",
  [AUTH.sspi]: "SSPI",
};

export interface Login {
  target: Target;
  host: TargetHost;
  /** Begins every message: "Cannot connect to …". */
  act: string;
  send(message: Uint8Array): Promise<void>;
  /** The next Authentication message. */
  next(): Promise<{ body: Uint8Array }>;
}

/** Returns when the server has let us in. @throws {SkyqError} `auth`, `protocol`, or what the server said */
export async function authenticate(login: Login): Promise<void> {
  const { act, target } = login;
  const { code, body } = await nextAuth(login);
  switch (code) {
    case AUTH.ok:
      checkAllowed(login, "none");
      return;
    case AUTH.cleartext:
      checkAllowed(login, "password");
      await login.send(passwordMessage(needPassword(login)));
      break;
    case AUTH.md5:
      checkAllowed(login, "md5");
      await login.send(passwordMessage(md5Password(target.user, needPassword(login), body.subarray(4, 8))));
      break;
    case AUTH.sasl: {
      checkAllowed(login, "scram-sha-256");
      const mechanisms = readStrings(body, 4, body.length).filter((name) => name !== "");
      if (!mechanisms.includes("SCRAM-SHA-256")) {
        throw new SkyqError("auth", `${act}: the server offers only ${mechanisms.join(", ")} for authentication`, {
          hint: "skyq can do SCRAM-SHA-256.",
        });
      }
      await exchangeScram(login);
      break;
    }
    default:
      throw new SkyqError("auth", `${act}: the server asks for ${UNSUPPORTED[code] ?? `method ${code}`}`, {
        hint: "skyq can do scram-sha-256, md5, password, cert and trust; change the line in pg_hba.conf.",
      });
  }
  await expectAuth(login, AUTH.ok);
}

async function exchangeScram(login: Login): Promise<void> {
  const scram = new Scram(needPassword(login));
  try {
    const first = new MessageWriter().begin("p").cstring("SCRAM-SHA-256").value(scram.first()).end();
    await login.send(first.done());
    const serverFirst = await expectAuth(login, AUTH.saslContinue);
    const final = new TextEncoder().encode(await scram.final(serverFirst));
    await login.send(new MessageWriter().begin("p").bytes(final).end().done());
    await scram.verify(await expectAuth(login, AUTH.saslFinal));
  } catch (error) {
    if (!(error instanceof ScramError)) throw error;
    throw new SkyqError(error.isForgery ? "auth" : "protocol", `${login.act}: ${error.message}`, {
      hint: error.isForgery ? "Something between here and the server may pretend to be it." : undefined,
      cause: error,
    });
  }
}

async function nextAuth(login: Login): Promise<{ code: number; body: Uint8Array }> {
  const { body } = await login.next();
  if (body.length >= 4) return { code: readInt32(body, 0), body };
  throw new SkyqError("protocol", `${login.act}: malformed Authentication message from the server`);
}

/** The text of the next Authentication message, which must have `code`. A server may not cut an exchange short. */
async function expectAuth(login: Login, code: number): Promise<string> {
  const { code: found, body } = await nextAuth(login);
  if (found === code) return decodeText(body, 4, body.length);
  throw new SkyqError("protocol", `${login.act}: the server broke off the authentication (message ${found})`, {
    hint: "Something between here and the server may pretend to be it.",
  });
}

function needPassword({ target, host, act }: Login): string {
  const { password, note } = target.passwordFor(host);
  if (password !== null) return password;
  throw new SkyqError("auth", `${act}: the server asks for the password of user "${target.user}", none is given`, {
    hint: note ?? "Give it in the connect string, in PGPASSWORD or in the password file (~/.pgpass).",
  });
}

function passwordMessage(password: string): Uint8Array {
  return new MessageWriter().begin("p").cstring(password).end().done();
}

/** require_auth names the methods that may be used, or with "!" those that may not. */
function checkAllowed({ target, act }: Login, method: string): void {
  if (target.requireAuth === null) return;
  const listed = target.requireAuth.split(",").map((name) => name.trim());
  const isNegative = listed[0]!.startsWith("!");
  const isListed = listed.includes(isNegative ? `!${method}` : method);
  if (isListed !== isNegative) return;
  throw new SkyqError("auth", `${act}: the server wants authentication "${method}", require_auth forbids it`, {
    hint: `require_auth is "${target.requireAuth}".`,
  });
}
