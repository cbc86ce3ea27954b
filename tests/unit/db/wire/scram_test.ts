import { describe, expect, it } from "vitest";
import { md5Password, saslPrep, Scram, ScramError } from "../../../../src/db/wire/scram.ts";

/** RFC 7677 §3, but for the user name, which PostgreSQL wants empty: proof and signature were computed apart, in Python. */
const NONCE = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

describe("Scram", () => {
  it("sends an empty user and the given nonce first", () => {
    expect(new Scram("pencil", NONCE).first()).toBe(`n,,n=,r=${NONCE}`);
    expect(new Scram("pencil").first()).not.toBe(new Scram("pencil").first());
  });

  it("computes proof and signature", async () => {
    const scram = new Scram("pencil", NONCE);
    const nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    expect(await scram.final(SERVER_FIRST)).toBe(`c=biws,r=${nonce},p=qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k=`);
    await scram.verify("v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg=");
  });

  const hostile: [string, string][] = [
    ["a nonce that is not ours", "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"],
    ["a nonce without the server's part", `r=${NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`],
    ["no iterations", `r=${NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==`],
    ["zero iterations", `r=${NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0`],
    ["iterations for years", `r=${NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999999`],
    ["a malformed salt", `r=${NONCE}x,s=!!!,i=4096`],
    ["an extension it does not know", `m=x,r=${NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`],
    ["nothing", ""],
  ];
  it.each(hostile)("refuses %s", async (_name, serverFirst) => {
    await expect(new Scram("pencil", NONCE).final(serverFirst)).rejects.toBeInstanceOf(ScramError);
  });

  it("refuses a server that does not know the password", async () => {
    const scram = new Scram("pencil", NONCE);
    await scram.final(SERVER_FIRST);
    for (const last of ["v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "v=", "", "e=other-error"]) {
      await expect(scram.verify(last)).rejects.toBeInstanceOf(ScramError);
    }
  });
});

describe("saslPrep()", () => {
  it("follows RFC 4013's examples, and leaves alone what it refuses", () => {
    expect(saslPrep("I\u00adX")).toBe("IX");
    expect(saslPrep("user")).toBe("user");
    expect(saslPrep("\u00aa")).toBe("a");
    expect(saslPrep("\u2168")).toBe("IX");
    expect(saslPrep("a\u00a0b")).toBe("a b");
    expect(saslPrep("\u0007é")).toBe("\u0007é");
    expect(saslPrep("\u0627\u0031")).toBe("\u0627\u0031");
  });
});

describe("md5Password()", () => {
  it("hashes password, user and salt as the server does", () => {
    // md5(convert_to(md5('secretapp'), 'UTF8') || '\\x01020304'), by PostgreSQL's md5()
    expect(md5Password("app", "secret", new Uint8Array([1, 2, 3, 4]))).toBe("md5911f527656472583a006e7727877b33e");
  });
});
