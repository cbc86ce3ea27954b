import { dirname } from "node:path";

/**
 * Makes the directory that the file `path` is to be in, and those above it, where they are missing: mode 0755, less
 * what the umask takes away.
 * @throws what the system says, when it cannot be made
 */
export function makeDirectoryOf(path: string): void {
  Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
}
