/** SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's side, and the older ways to show a password. */
import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";

const encoder = new TextEncoder();

/** Rounds that a server may ask for: below is against the RFC, above would only keep us busy. */
const ITERATIONS_MAX = 10_000_000;

/** What a server did wrong in the exchange. */
export class ScramError extends Error {
  constructor(message: string, readonly isForgery = false) {
    super(message);
    this.name = "ScramError";
  }
}

/** One exchange: `first()`, `final(serverFirst)`, `verify(serverFinal)`, in this order. */
export class Scram {
  readonly #password: string;
  readonly #nonce: string;
  #authMessage = "";
  #saltedPassword: Uint8Array | null = null;

  /** @param nonce printable and unpredictable; given only by tests */
  constructor(password: string, nonce: string = toBase64(crypto.getRandomValues(new Uint8Array(18)))) {
    this.#password = password;
    this.#nonce = nonce;
  }

  /** The client-first message. "n": this client cannot bind to the TLS channel. The server knows the user already. */
  first(): string {
    return `n,,${this.#firstBare}`;
  }

  get #firstBare(): string {
    return `n=,r=${this.#nonce}`;
  }

  /** The client-final message. @throws {ScramError} when `serverFirst` breaks the rules */
  async final(serverFirst: string): Promise<string> {
    const { r: nonce, s: salt, i: rounds, m: extension } = attributes(serverFirst);
    if (extension !== undefined) throw new ScramError("the server asks for an unknown SCRAM extension");
    if (nonce === undefined || !nonce.startsWith(this.#nonce) || nonce.length <= this.#nonce.length) {
      throw new ScramError("the server's SCRAM nonce does not continue ours", true);
    }
    const iterations = Number(rounds);
    if (rounds === undefined || !/^[1-9]\d*$/.test(rounds) || iterations > ITERATIONS_MAX) {
      throw new ScramError(`the server asks for "${rounds}" SCRAM iterations`);
    }
    if (!salt || !/^[A-Za-z0-9+/]+={0,2}$/.test(salt)) throw new ScramError("the server's SCRAM salt is malformed");
    this.#saltedPassword = await pbkdf2(saslPrep(this.#password), Buffer.from(salt, "base64"), iterations);
    const withoutProof = `c=biws,r=${nonce}`; // biws = base64("n,,")
    this.#authMessage = `${this.#firstBare},${serverFirst},${withoutProof}`;
    const clientKey = await hmac(this.#saltedPassword, "Client Key");
    const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    const signature = await hmac(storedKey, this.#authMessage);
    const proof = clientKey.map((byte, index) => byte ^ signature[index]!);
    return `${withoutProof},p=${toBase64(proof)}`;
  }

  /** Checks that the server knows the password too. @throws {ScramError} `isForgery` when it does not */
  async verify(serverFinal: string): Promise<void> {
    const { v: verifier, e: complaint } = attributes(serverFinal);
    if (complaint !== undefined) throw new ScramError(`the server reports "${complaint}"`);
    if (verifier === undefined || this.#saltedPassword === null) {
      throw new ScramError("the server's last SCRAM message is malformed", true);
    }
    const serverKey = await hmac(this.#saltedPassword, "Server Key");
    const expected = await hmac(serverKey, this.#authMessage);
    const received = Buffer.from(verifier, "base64");
    if (received.length !== expected.length || !timingSafeEqual(received, expected)) {
      throw new ScramError("the server's signature is wrong, it does not know the password", true);
    }
  }
}

/** `a=1,b=2` to its parts; what has no "=" is dropped. */
function attributes(message: string): Record<string, string | undefined> {
  const parts: Record<string, string> = {};
  for (const part of message.split(",")) {
    if (part[1] === "=") parts[part[0]!] = part.slice(2);
  }
  return parts;
}

async function pbkdf2(password: string, salt: Uint8Array, iterations: number): Promise<Uint8Array<ArrayBuffer>> {
  const key = await crypto.subtle.importKey("raw", encoder.encode(password), "PBKDF2", false, ["deriveBits"]);
  const parameters = { name: "PBKDF2", hash: "SHA-256", salt: new Uint8Array(salt), iterations };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, 256));
}

async function hmac(keyBytes: Uint8Array, text: string): Promise<Uint8Array<ArrayBuffer>> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", new Uint8Array(keyBytes), algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text)));
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** RFC 4013 §2.1: spaces become a space, … */
const TO_SPACE = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu;
/** … these become nothing. */
const TO_NOTHING = /[\u00ad\u034f\u1806\u180b-\u180d\u200c\u200d\u2060\ufe00-\ufe0f\ufeff]/gu;
/** Control, private use, surrogate, unassigned and the like may not occur (§2.3); `\p{Cn}` includes non-characters. */
const PROHIBITED =
  /[\p{Cc}\p{Co}\p{Cs}\p{Cn}\u0340\u0341\u200e\u200f\u2028-\u202e\u206a-\u206f\ufff9-\ufffd\u{e0001}\u{e0020}-\u{e007f}\u2ff0-\u2ffb]/u;
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}]/u;
const LEFT_TO_RIGHT = /[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}]/u;

/** The password as SCRAM hashes it. As in PostgreSQL, one that SASLprep refuses is used as it is. */
export function saslPrep(password: string): string {
  if (/^[\x20-\x7e]*$/.test(password)) return password;
  const prepared = password.replace(TO_SPACE, " ").replace(TO_NOTHING, "").normalize("NFKC");
  if (prepared === "" || PROHIBITED.test(prepared)) return password;
  if (RIGHT_TO_LEFT.test(prepared)) {
    const letters = [...prepared];
    const isFramed = RIGHT_TO_LEFT.test(letters[0]!) && RIGHT_TO_LEFT.test(letters.at(-1)!);
    if (!isFramed || LEFT_TO_RIGHT.test(prepared)) return password;
  }
  return prepared;
}

/** `md5` + md5(md5(password + user) + salt), as the server's md5 method wants it. */
export function md5Password(user: string, password: string, salt: Uint8Array): string {
  const inner = createHash("md5").update(password + user, "utf8").digest("hex");
  return "md5" + createHash("md5").update(Buffer.concat([Buffer.from(inner), salt])).digest("hex");
}
