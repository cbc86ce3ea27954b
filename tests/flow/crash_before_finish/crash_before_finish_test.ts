/** The two moments at which a crash could lose a batch or apply it twice. */
import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { Gate, gateSql } from "../gate.ts";
import { Job } from "../job.ts";

const SCHEMA = "create table t (id integer primary key, n integer);";

/** Every row that is ever written to the subscriber's table, by whomever. */
const AUDIT = `
  create table public.audit (op text, id integer, n integer);
  create function public.note_row() returns trigger language plpgsql as $$
  begin
    insert into public.audit values (tg_op, coalesce(new.id, old.id), new.n);
    return null;
  end $$;
  create trigger note_row after insert or update or delete on t for each row execute function public.note_row();
  alter table t enable always trigger note_row;`;

describe("a crash", () => {
  let job: Job;

  beforeAll(async () => {
    const [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber });
    for (const database of [provider, subscriber]) await database.sql(SCHEMA);
    await job.install();
    await subscriber.sql(AUDIT);
    await subscriber.sql(gateSql({
      name: "before commit",
      table: "pgq_node.local_state",
      condition: "new.last_tick_id is distinct from old.last_tick_id",
    }));
    await provider.sql(gateSql({
      name: "before finish",
      table: "pgq.subscription",
      condition: "old.sub_batch is not null and new.sub_batch is null",
    }));
    job.startReplay();
    await job.add("t");
    await job.allOk();
    return () => job[Symbol.asyncDispose]();
  });

  /**
   * Writes two rows and kills the replay at the gate; the next replay does the rest.
   * @returns what was written to the subscriber's table before and after the crash, and whether the killed session had
   *   uncommitted rows
   */
  async function crashAt(gateOf: LentDatabase, name: string, id: number) {
    const audit = async () =>
      (await job.subscriber.sql(
        `select string_agg(a::text, ' ' order by a.op, a.n) from public.audit a where id >= ${id}`,
      )).trim();
    let before: string;
    let isUncommitted: boolean;
    await job.finished();
    {
      await using gate = await Gate.close(gateOf, name);
      await job.provider.sql(`insert into t values (${id}, 1), (${id + 1}, 2)`);
      await gate.reached();
      await job.killReplay();
      before = await audit();
      isUncommitted = Number(
        await job.subscriber.sql(
          "select count(*) from pg_locks where relation = 't'::regclass and mode = 'RowExclusiveLock' and granted",
        ),
      ) > 0;
    }
    job.startReplay();
    await job.caughtUp();
    return { before, isUncommitted, after: await audit() };
  }

  // Batches without rows pass the gates as well, and one of them may be the first: then the crash is tried again.
  it("between the subscriber's commit and finishing the batch does not apply it twice", async () => {
    for (let id = 1000;; id += 10) {
      const { before, after } = await crashAt(job.provider, "before finish", id);
      expect(after).toBe(`(INSERT,${id},1) (INSERT,${id + 1},2)`);
      expect(await job.differences("t")).toEqual([]);
      if (before === after) break;
      expect(id).toBeLessThan(1100);
    }
  });

  it("before the subscriber's commit does not lose it", async () => {
    for (let id = 5000;; id += 10) {
      const { before, isUncommitted, after } = await crashAt(job.subscriber, "before commit", id);
      expect(before).toBe("");
      expect(after).toBe(`(INSERT,${id},1) (INSERT,${id + 1},2)`);
      expect(await job.differences("t")).toEqual([]);
      if (isUncommitted) break;
      expect(id).toBeLessThan(5100);
    }
  });
});
