import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { preflight as lookOver, type Side } from "../engine/nodes/preflight.ts";
import { JSON_OPTION } from "./_database.ts";
import { providerTarget, subscriberTarget } from "./_targets.ts";

export const preflight = defineCommand({
  name: "preflight",
  summary: "Show what both sides' roles lack, with the statements that grant it",
  details:
    "Changes nothing, and needs nothing to be installed. Tables and sequences that are named are looked at as if " +
    "they were to be added; without names those that are registered. Exit status 1 when something is lacking.",
  examples: [
    "skyq preflight conf.ini orders customers",
    "skyq preflight conf.ini 'app.*' --json",
  ],
  config: "pair",
  args: { name: "NAME", many: true, help: "table or sequence, `schema.name`, or a glob; none: what is registered" },
  options: { json: JSON_OPTION },
  async run(ctx, options, names) {
    const { config } = ctx;
    const rows = await lookOver({
      provider: providerTarget(config),
      subscriber: subscriberTarget(config),
      queue: config.need("pgq_queue_name"),
      applicationName: `skyq ${ctx.commandName}`,
      names,
      dropTriggers: config.get("drop_triggers"),
      parallelCopies: config.get("parallel_copies"),
      ticker: config.get("ticker") as "auto" | "on" | "off",
    });
    if (options.json) {
      for (const row of rows) ctx.out.json(row);
    } else {
      ctx.out.table(["side", "what", "state", "detail"], rows.map((row) => ({ ...row })));
      for (const side of ["provider", "subscriber"] as const satisfies readonly Side[]) {
        for (const by of ["owner", "superuser"] as const) {
          const statements = rows.filter((row) => row.side === side && row.by === by && row.state === "lacks")
            .map((row) => row.statement!);
          if (statements.length === 0) continue;
          const who = by === "owner" ? "as the owner, or a superuser" : "as a superuser";
          ctx.out.line(`\n-- on the ${side}, ${who}:`);
          for (const statement of new Set(statements)) ctx.out.line(statement);
        }
      }
    }
    return rows.some((row) => row.state === "lacks") ? EXIT.failed : EXIT.ok;
  },
});
