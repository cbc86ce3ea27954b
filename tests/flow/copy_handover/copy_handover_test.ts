/** A table's copy is killed in each of its states, and at random moments, while applications write. */
import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { seeded } from "../../harness/seed.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate, gateSql } from "../gate.ts";
import { Job, size } from "../job.ts";
import { Writer } from "../writer.ts";

const SCHEMA = `
  create table copied (id integer primary key, n bigint not null default 0, note text);
  create table other (id integer primary key, n bigint);`;
const ROW_COUNT = 20_000;
const ROWS = `
  insert into copied select n, n, repeat('note ', n % 20) from generate_series(1, ${ROW_COUNT}) n;
  insert into other values (0, 0);`;

const STATES = ["in-copy", "catching-up", "wanna-sync", "do-sync"] as const;

/** Whoever wants to move table "copied" out of a state waits at the gate of its name. */
const GATES = STATES.map((state) =>
  gateSql({
    name: state,
    table: "londiste.table_info",
    condition: `old.table_name = 'public.copied' and old.merge_state like '${state}%'
      and new.merge_state is distinct from old.merge_state`,
  })
).join("\n");

/** Inserts, updates, deletes, and key changes, in both tables. */
function change(n: number): string {
  const id = 1 + (n * 7919) % ROW_COUNT;
  return `insert into copied values (${ROW_COUNT + n}, 0, 'new');
    update copied set n = n + 1, note = 'change ${n}' where id = ${id};
    delete from copied where id = ${1 + (n * 104_729) % ROW_COUNT};
    update copied set id = -id where id = ${1 + (n * 1_299_709) % ROW_COUNT} and id > 0;
    insert into other values (${n}, ${n})`;
}

let changeCount = 0;

describe("copy and hand-over", () => {
  let job: Job;

  beforeAll(async () => {
    const [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber });
    await provider.sql(SCHEMA + ROWS);
    await subscriber.sql(SCHEMA);
    await job.install();
    await subscriber.sql(GATES);
    job.startReplay();
    await job.add("other");
    await job.allOk();
    await job.run("provider", "add", "conf.ini", "copied");
    await job.run("subscriber", "add", "conf.ini", "copied");
    await job.allOk();
    return () => job[Symbol.asyncDispose]();
  });

  async function expectEqualAndClean(): Promise<void> {
    await job.caughtUp(120_000);
    expect(await job.differences("copied", "other")).toEqual([]);
    // Left behind, it would hold the queue's rotation back for ever.
    await waitFor(async () => (await job.otherConsumers()).length === 0, {
      what: "the copy's consumer to be gone",
      timeoutMs: 120_000,
      pollMs: 200,
    });
    expect((await job.subscriber.sql("select consumer_name from pgq_node.get_consumer_info('q')")).trim()).toBe("job");
  }

  it.each(STATES)(
    "goes on after kill -9 in state %s",
    async (state) => {
      await using writer = new Writer(job.provider, () => change(++changeCount));
      {
        await using gate = await Gate.close(job.subscriber, state);
        await job.run("subscriber", "resync", "conf.ini", "copied");
        await gate.reached();
        expect((await job.states()).get("public.copied")?.replace(/:\d+$/, "")).toBe(state);
        expect(await job.otherConsumers()).toEqual(["job.copy.public.copied"]);
        await job.killReplay();
      }
      job.startReplay();
      await job.allOk();
      await writer.stop();
      await expectEqualAndClean();
    },
    180_000,
  );

  it("keeps replaying the other tables meanwhile", async () => {
    await using writer = new Writer(job.provider, () => change(++changeCount));
    for (const state of ["in-copy", "catching-up"]) {
      await using gate = await Gate.close(job.subscriber, state);
      if (state === "in-copy") await job.run("subscriber", "resync", "conf.ini", "copied");
      await gate.reached();
      const id = -(++changeCount);
      await job.provider.sql(`insert into other values (${id}, 0)`);
      await waitFor(async () => (await job.subscriber.sql(`select 1 from other where id = ${id}`)) !== "", {
        what: `a row of "other" to arrive while "copied" is ${state}`,
      });
      expect((await job.states()).get("public.copied")).toBe(state);
    }
    await job.allOk(120_000);
    await writer.stop();
    await expectEqualAndClean();
  });

  it("hands over exactly when the replay is several batches ahead of the copy", async () => {
    await using writer = new Writer(job.provider, () => change(++changeCount));
    const { length } = job.log;
    {
      await using gate = await Gate.close(job.subscriber, "catching-up");
      await job.run("subscriber", "resync", "conf.ini", "copied");
      await gate.reached();
      // The copy has found the end of the queue and is about to say so; meanwhile the end moves on.
      for (let batches = 4; batches > 0; batches--) await job.finished();
      await gate.open();
      await job.allOk();
    }
    await writer.stop();
    const tick = (state: string) =>
      Number(new RegExp(`copied status changed to '${state}:(\\d+)'`).exec(job.log.slice(length))?.[1]);
    expect(tick("do-sync") - tick("wanna-sync")).toBeGreaterThan(1);
    await expectEqualAndClean();
  });

  it("goes on after kill -9 at random moments", async () => {
    const random = seeded("copy_handover");
    await using writer = new Writer(job.provider, () => change(++changeCount));
    for (let rounds = size({ smoke: 3, long: 20 }); rounds > 0; rounds--) {
      await job.run("subscriber", "resync", "conf.ini", "copied");
      for (let kills = 2; kills > 0; kills--) {
        await new Promise((resolve) => setTimeout(resolve, random.int(0, 2500)));
        await job.killReplay();
        job.startReplay();
      }
      await job.allOk(120_000);
    }
    await writer.stop();
    await expectEqualAndClean();
  }, 600_000);
});
