import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { restorablePendingFkeys, restoreFkey } from "../../queue/londiste.ts";

/** Keys that could not be restored are tried again after this long. */
const RETRY_MS = 600_000;
const failedAtMs = new Map<string, number>();

/**
 * Restores the foreign keys that a copy dropped and whose tables are in sync again: added NOT VALID, then validated, each
 * in a transaction of its own. A key that the data violate stays pending and stops nothing.
 */
export async function restoreFkeys(db: WireConnection, log: Logger): Promise<void> {
  for (const fkey of await restorablePendingFkeys(db)) {
    const id = `${fkey.from_table} ${fkey.fkey_name}`;
    if (performance.now() - (failedAtMs.get(id) ?? -Infinity) < RETRY_MS) continue;
    log.info(`Creating fkey: ${fkey.fkey_name} (${fkey.from_table} --> ${fkey.to_table})`);
    try {
      await restoreFkey(db, fkey, log);
      failedAtMs.delete(id);
    } catch (error) {
      if (db.isClosed) throw error;
      failedAtMs.set(id, performance.now());
      log.warning(`Cannot restore fkey ${fkey.fkey_name} of ${fkey.from_table}: ${messageOf(error)}; it stays pending`);
    }
  }
}
