/** Certificates made on the spot with the openssl program. */
import { join } from "node:path";

export interface Certificate {
  cert: string;
  key: string;
}

export class CertificateMaker implements Disposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "skyq-cert-" });
  #count = 0;

  /** A root of its own. */
  root(name: string): Certificate & { file: string } {
    const made = this.#run(name, ["-x509", "-days", "2", "-addext", "basicConstraints=critical,CA:TRUE"]);
    return { ...made, file: this.file(`${name}.root`, made.cert) };
  }

  /**
   * One signed by `root`.
   * @param altNames e.g. "DNS:db.test,IP:127.0.0.1"
   * @param days 0 makes one that expires now
   */
  signed(root: Certificate, name: string, altNames: string | null, days = 2): Certificate {
    const request = this.#run(name, []);
    const base = this.#path();
    Deno.writeTextFileSync(`${base}.csr`, request.cert);
    // With an extension it is of version 3, the only one that Deno takes.
    Deno.writeTextFileSync(
      `${base}.ext`,
      `subjectKeyIdentifier=hash\n${altNames ? `subjectAltName=${altNames}\n` : ""}`,
    );
    Deno.writeTextFileSync(`${base}.ca`, root.cert);
    Deno.writeTextFileSync(`${base}.cakey`, root.key);
    openssl(
      "x509",
      "-req",
      "-in",
      `${base}.csr`,
      "-CA",
      `${base}.ca`,
      "-CAkey",
      `${base}.cakey`,
      "-CAcreateserial",
      "-days",
      String(days),
      "-extfile",
      `${base}.ext`,
      "-out",
      `${base}.crt`,
    );
    return { cert: Deno.readTextFileSync(`${base}.crt`), key: request.key };
  }

  /** Writes a file that only its owner may read. @returns its path */
  file(name: string, text: string, mode = 0o600): string {
    const path = join(this.dir, name);
    Deno.writeTextFileSync(path, text, { mode });
    Deno.chmodSync(path, mode);
    return path;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.dir, { recursive: true });
  }

  #path(): string {
    return join(this.dir, `made${this.#count++}`);
  }

  #run(name: string, options: string[]): Certificate {
    const base = this.#path();
    openssl(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      `${base}.key`,
      "-out",
      `${base}.out`,
      ...options,
    );
    return { cert: Deno.readTextFileSync(`${base}.out`), key: Deno.readTextFileSync(`${base}.key`) };
  }
}

function openssl(...args: string[]): void {
  const { success, stderr } = new Deno.Command("openssl", { args, stdout: "null", stderr: "piped" }).outputSync();
  if (!success) throw new Error(`openssl ${args[0]} failed: ${new TextDecoder().decode(stderr)}`);
}
