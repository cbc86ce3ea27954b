/** Databases in encodings of their own: everything installs there, and texts come to the other side as what they say. */
import { describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { Job } from "../job.ts";

/** A text that the encoding has, with signs that events encode. */
const TEXTS: Readonly<Record<string, string>> = {
  LATIN1: "à la carte & Größe=1+1 100% ÿ",
  WIN1251: "Широкая & электрификация=1 №",
  EUC_JP: "漢字 & かな=1+1",
  SQL_ASCII: "plain & simple=1+1 100%",
};

const SCHEMA = (name: string) =>
  `create table "${name}" (id integer primary key, "${name}" text);
   create table bulk (id integer primary key, txt text not null, day date);`;

async function database(side: 0 | 1, encoding: string): Promise<LentDatabase> {
  const lent = (await lendDatabases(2, { encoding }))[side];
  // What this test itself says there.
  await lent.sql(`alter database "${lent.name}" set client_encoding = 'UTF8'`);
  return lent;
}

describe("databases in encodings of their own", () => {
  for (const encoding of Object.keys(TEXTS)) {
    for (const [from, to] of [[encoding, "UTF8"], ["UTF8", encoding]] as const) {
      it(`${from} to ${to}: copied, replayed by row and by statement, compared`, async () => {
        const text = TEXTS[encoding]!;
        const name = encoding === "LATIN1" ? "größe" : "t";
        const [provider, subscriber] = [await database(0, from), await database(1, to)];
        for (const side of [provider, subscriber]) await side.sql(SCHEMA(name));
        await using job = new Job({ provider, subscriber });
        await job.install();
        await provider.sql(`insert into "${name}" values (1, '${text}')`);
        await job.run("provider", "add", "conf.ini", name);
        await job.run("provider", "add", "conf.ini", "bulk", "--capture=statement");
        await job.run("subscriber", "add", "conf.ini", name, "bulk");
        job.startReplay();
        await job.allOk();
        await provider.sql(`insert into "${name}" values (2, '${text}'), (3, ''), (4, null)`);
        await provider.sql(`update "${name}" set "${name}" = '${text}' || id where id = 2`);
        await provider.sql(
          `insert into bulk select i, case when i % 10 = 9 then '${text}' else 'word, a:b@c' end || i, date '2026-01-31'
             from generate_series(1, 200) i`,
        );
        await provider.sql(`update bulk set txt = '${text}' where id % 7 = 0; delete from bulk where id = 3`);
        await job.caughtUp();
        expect((await subscriber.sql(`select "${name}" from "${name}" where id = 2`)).trim()).toBe(`${text}2`);
        expect(await job.run("compare", "conf.ini")).toMatch(/bulk +equal +199 +199/);
        expect(await job.run("compare", "conf.ini", name)).toMatch(/equal +4 +4/);
      });
    }
  }
});
