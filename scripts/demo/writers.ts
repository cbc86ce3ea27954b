/** Applications that write to the provider all the while, each over its own connection. */
import postgres from "postgres";
import type { Random } from "../../tests/harness/seed.ts";
import { CUSTOMER_COUNT, REMARKS } from "./tables.ts";

type Transaction = postgres.TransactionSql;

export interface WriterCounts {
  commits: number;
  /** Wanted rollbacks, and those that a constraint or a deadlock forced. */
  rollbacks: number;
}

/** Thrown by a writer to roll its own transaction back. */
class ChangedMyMind extends Error {}

export class Writers {
  readonly counts: WriterCounts = { commits: 0, rollbacks: 0 };
  readonly #sql: postgres.Sql;
  readonly #random: Random;
  readonly #done: Promise<void>[];
  #isStopping = false;
  #newestOrder = 0;

  /** Starts `count` writers. What one of them cannot cope with is thrown by {@link Writers.stop}. */
  constructor(address: { host: string; port: number; user: string; database: string }, count: number, random: Random) {
    this.#random = random;
    this.#sql = postgres({ ...address, max: count, onnotice: () => {}, connection: { application_name: "demo" } });
    this.#done = Array.from({ length: count }, () => this.#write());
    for (const done of this.#done) done.catch(() => {});
  }

  /** Lets every writer finish its transaction; may be called again. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    try {
      await Promise.all(this.#done);
    } finally {
      await this.#sql.end({ timeout: 1 });
    }
  }

  async #write(): Promise<void> {
    const [row] = await this.#sql`select max(order_id) as newest from orders`;
    this.#newestOrder = Math.max(this.#newestOrder, Number(row?.newest));
    while (!this.#isStopping) {
      const act = this.#pickAct();
      try {
        await this.#sql.begin(act);
        this.counts.commits += 1;
      } catch (error) {
        if (!(error instanceof ChangedMyMind) && !isRefusal(error)) throw error;
        this.counts.rollbacks += 1;
      }
      // Someone who thinks between two transactions: the demo shows a busy server, not a saturated one.
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  #pickAct(): (tx: Transaction) => Promise<void> {
    const number = this.#random.int(1, 100);
    if (number <= 30) return async (tx) => void await this.#placeOrder(tx);
    if (number <= 55) return (tx) => this.#changeOrder(tx);
    if (number <= 70) return (tx) => this.#changeCustomer(tx);
    if (number <= 78) return (tx) => this.#deleteOrder(tx);
    if (number <= 86) return (tx) => this.#rollBack(tx);
    if (number <= 94) return (tx) => this.#rollBackInside(tx);
    if (number <= 98) return (tx) => this.#renumberItems(tx);
    return (tx) => this.#raisePrices(tx);
  }

  #order(): number {
    return this.#random.int(1, this.#newestOrder);
  }

  #customer(): number {
    return this.#random.int(1, CUSTOMER_COUNT);
  }

  #remark(): string | null {
    return this.#random.pick(REMARKS);
  }

  async #placeOrder(tx: Transaction): Promise<number> {
    const amount = this.#random.int(0, 999_999) / 100;
    const customer = this.#customer();
    const [row] = await tx`
      insert into orders (customer_id, amount, remark) values (${customer}, ${amount}, ${this.#remark()})
      returning order_id`;
    const order = Number(row?.order_id);
    for (let line = this.#random.int(1, 3); line > 0; line--) {
      await tx`
        insert into order_item
        values (${order}, ${line}, ${this.#remark() ?? "unnamed"}, array[${line}::int, null], ${amount})`;
    }
    await tx`update customer set balance = balance + ${amount} where customer_id = ${customer}`;
    this.#newestOrder = Math.max(this.#newestOrder, order);
    return order;
  }

  async #changeOrder(tx: Transaction): Promise<void> {
    await tx`update orders set remark = ${this.#remark()}, amount = amount + 1 where order_id = ${this.#order()}`;
  }

  async #changeCustomer(tx: Transaction): Promise<void> {
    const [note, tag] = [this.#remark(), this.#remark()];
    const profile = JSON.stringify({ note, tag, at: this.#random.fraction() });
    const photo = this.#random.bytes(this.#random.int(0, 200));
    await tx`
      update customer
         set note = ${note}, tags = array[${tag}::text, ${note}::text], profile = ${profile}::text::jsonb,
             photo = decode(${[...photo].map((byte) => byte.toString(16).padStart(2, "0")).join("")}, 'hex'),
             changed_at = clock_timestamp()
       where customer_id = ${this.#customer()}`;
  }

  /** Its items go by the foreign key. */
  async #deleteOrder(tx: Transaction): Promise<void> {
    await tx`delete from orders where order_id = ${this.#order()}`;
  }

  async #rollBack(tx: Transaction): Promise<void> {
    await this.#placeOrder(tx);
    await this.#changeCustomer(tx);
    throw new ChangedMyMind();
  }

  async #rollBackInside(tx: Transaction): Promise<void> {
    const order = await this.#placeOrder(tx);
    await tx.savepoint(async (inner) => {
      await inner`delete from orders where order_id = ${order}`;
      throw new ChangedMyMind();
    }).catch((error) => {
      if (!(error instanceof ChangedMyMind)) throw error;
    });
    await tx.savepoint(async (inner) => {
      await inner`update order_item set price = price * 2, quantity = null where order_id = ${order}`;
    });
  }

  /** Changes primary keys. */
  async #renumberItems(tx: Transaction): Promise<void> {
    await tx`update order_item set line_no = line_no + 100 where order_id = ${this.#order()}`;
  }

  async #raisePrices(tx: Transaction): Promise<void> {
    const first = this.#order();
    await tx`update orders set amount = round(amount * 1.01, 2) where order_id between ${first} and ${first + 200}`;
  }
}

/** A constraint that said no (another writer deleted the order), or a deadlock: an application's daily life. */
function isRefusal(error: unknown): boolean {
  const code = String((error as { code?: unknown }).code);
  return code.startsWith("23") || code === "40P01";
}
