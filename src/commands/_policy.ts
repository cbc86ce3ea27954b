import { SkyqError } from "../base/errors.ts";
import type { Config } from "../config/config.ts";
import { matchNames } from "../engine/nodes/names.ts";
import { type ErrorPolicy, ON_ERROR, type OnError } from "../engine/replay/refusal.ts";

/**
 * What the config says about rows that cannot be applied.
 * @throws {SkyqError} `config` for an entry of on_error_tables that is not `TABLE=WAY`
 */
export function errorPolicy(config: Config): ErrorPolicy {
  const general = config.get("on_error") as OnError;
  const special = config.get("on_error_tables").map((entry) => {
    const at = entry.lastIndexOf("=");
    const way = entry.slice(at + 1).trim();
    if (at > 0 && isWay(way)) return { typed: entry.slice(0, at).trim(), way };
    throw new SkyqError("config", `Cannot read on_error_tables: "${entry}" is not TABLE=WAY`, {
      hint: `WAY is one of ${ON_ERROR.join(", ")}; TABLE a name or a glob.`,
    });
  });
  return {
    onError: (table) => special.find(({ typed }) => matchNames(typed, [table]).length > 0)?.way ?? general,
    quarantineMax: config.get("quarantine_max"),
  };
}

function isWay(word: string): word is OnError {
  return (ON_ERROR as readonly string[]).includes(word);
}
