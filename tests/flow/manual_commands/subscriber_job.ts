/** A pair on which each of the subscriber's commands has something to do, and something to refuse. */
import { lendDatabases } from "../../harness/pair.ts";
import { Job } from "../job.ts";

const BOTH = `
  create table a (id integer primary key, v text);
  create table b (id integer primary key, a_id integer constraint b_a references a);
  create table c (id integer primary key);
  create table wide (id integer primary key, v text);
  create table keyless (id integer primary key);
  create table unsent (id integer primary key);
  create sequence s1; create sequence s2; create sequence unsent_seq;
  insert into a values (1, 'x'), (2, 'y'); insert into b values (1, 1); insert into c values (1);`;

/** Nothing is installed. */
export async function subscriberJob(): Promise<Job> {
  const [provider, subscriber] = await lendDatabases(2);
  const job = new Job({ provider, subscriber, settings: { drop_triggers: "1" } });
  await provider.sql(BOTH + "create table only_there (id integer primary key); create sequence only_there_seq;");
  await subscriber.sql(
    BOTH + `
    alter table wide drop v; alter table keyless drop constraint keyless_pkey;
    create table only_here (id integer primary key);
    create function noted() returns trigger language plpgsql as 'begin return new; end';
    create trigger t1 before insert on a for each row execute function noted();
    create trigger t2 before update on a for each row execute function noted();`,
  );
  return job;
}

/** Installs the provider, with all that the subscriber may ask for. */
export async function installProvider(job: Job): Promise<void> {
  await job.run("provider", "install", "conf.ini");
  await job.run("provider", "add", "conf.ini", "a", "b", "c", "wide", "keyless", "only_there");
  await job.run("provider", "add-seq", "conf.ini", "s1", "s2", "only_there_seq");
  await job.provider.sql("select pgq.set_queue_config('q', 'ticker_max_lag', '200 milliseconds')");
}

/** Starts the replay and waits for the copies. */
export async function startReplay(job: Job): Promise<void> {
  job.startReplay();
  await job.allOk();
}
