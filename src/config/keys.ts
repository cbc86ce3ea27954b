/** What a value looks like. `duration` is in seconds; `500ms`, `10s`, `5min`, `2h`, `1d` are understood as well. */
export type KeyKind = "string" | "int" | "float" | "bool" | "list" | "file" | "dsn" | "duration";

/** What a config file describes, and so which keys have to be there: see `REQUIRED`. */
export type ConfigKind = "pair" | "provider" | "subscriber" | "node" | "database" | "ticker" | "any" | "none";

/** Which sample file (`--ini`) shows the key. */
type Sample = "pair" | "node" | "ticker";

export interface KeySpec {
  readonly kind: KeyKind;
  /** Used when the key is absent or empty; `null`: there is none. Text may refer to other keys as `%(key)s`. */
  readonly default: string | number | boolean | readonly string[] | null;
  readonly help: string;
  /** Stands in the sample file when the default says too little. */
  readonly example?: string;
  readonly samples: readonly Sample[];
  /** Older names of the same thing, each with the factor that turns its value into ours (1 for text). */
  readonly aliases?: Readonly<Record<string, number>>;
  /** A value that the old sample files used for "not set". */
  readonly unset?: string;
  readonly choices?: readonly string[];
  readonly min?: number;
}

const EVERYWHERE = ["pair", "node", "ticker"] as const;
const NODES = ["pair", "node"] as const;

/** Every config key, in the order of the sample files. */
export const KEYS = {
  job_name: {
    kind: "string",
    default: "%(job_name)s", // predefined: the file's name without its extension
    help: "unique name of this job: names the log, the consumer and the subscriber's node",
    example: "orders_to_reports",
    samples: EVERYWHERE,
  },
  provider_db: {
    kind: "dsn",
    default: null,
    help: "where the tables are written: a libpq connect string or URI; passwords are best kept in ~/.pgpass",
    example: "dbname=shop host=db1.example.com",
    samples: ["pair"],
  },
  subscriber_db: {
    kind: "dsn",
    default: null,
    help: "where they are replicated to",
    example: "dbname=reports host=db2.example.com",
    samples: ["pair"],
  },
  db: {
    kind: "dsn",
    default: null,
    help: "the node's database: a libpq connect string or URI; passwords are best kept in ~/.pgpass",
    example: "dbname=shop host=db1.example.com",
    samples: ["node", "ticker"],
  },
  pgq_queue_name: {
    kind: "string",
    default: null,
    help: "queue that carries the changes",
    example: "orders_queue",
    samples: NODES,
    aliases: { queue_name: 1 },
  },
  pgq_consumer_id: {
    kind: "string",
    default: "%(job_name)s",
    help: "name under which the queue knows this job",
    samples: NODES,
    aliases: { consumer_name: 1 },
  },
  provider_node: {
    kind: "string",
    default: "%(pgq_queue_name)s_root",
    help: "name of the provider's node",
    samples: ["pair"],
  },
  logfile: {
    kind: "file",
    default: null,
    help: "log of the daemons, besides stderr; one in the background has no other",
    example: "~/log/%(job_name)s.log",
    samples: EVERYWHERE,
  },
  pidfile: {
    kind: "file",
    default: null,
    help: "keeps a second instance out; needed for -d, -r, -s and -k",
    example: "~/pid/%(job_name)s.pid",
    samples: EVERYWHERE,
  },
  log_size: {
    kind: "int",
    default: 10_485_760,
    help: "bytes after which the log file is rotated, 0 = never",
    min: 0,
    samples: EVERYWHERE,
  },
  log_count: { kind: "int", default: 3, help: "how many rotated log files are kept", min: 0, samples: EVERYWHERE },
  loop_delay: { kind: "duration", default: 1, help: "longest pause when there was nothing to do", samples: EVERYWHERE },
  connection_lifetime: {
    kind: "duration",
    default: 1200,
    help: "connections older than this are opened anew",
    min: 0,
    samples: EVERYWHERE,
  },
  exception_sleep: {
    kind: "duration",
    default: 20,
    help: "pause after an error before the next try",
    min: 0,
    samples: EVERYWHERE,
  },
  wait_for_servers: {
    kind: "bool",
    default: false,
    help: "a daemon that starts while a server is down tries again instead of ending with the error",
    samples: EVERYWHERE,
  },
  connect_timeout: {
    kind: "duration",
    default: 15,
    help: "limit for opening a connection, where the connect string has none",
    min: 0,
    samples: EVERYWHERE,
  },
  lock_timeout: {
    kind: "duration",
    default: 10,
    help: "limit for waiting on a table lock, 0 = none",
    min: 0,
    samples: EVERYWHERE,
  },
  statement_timeout: {
    kind: "duration",
    default: 0,
    help: "limit for one statement, 0 = none",
    min: 0,
    samples: NODES,
  },
  parallel_copies: {
    kind: "int",
    default: 1,
    help: "how many tables are copied at the same time",
    min: 1,
    samples: NODES,
  },
  copy_connections: {
    kind: "int",
    default: 2,
    help: "how many connections a side copy the chunks of one large table",
    min: 1,
    samples: NODES,
  },
  copy_chunk_mb: {
    kind: "float",
    default: 32,
    help: "size of a copy's chunks on the provider's disk, in MiB; tables of more than two are copied in chunks",
    min: 0.01,
    samples: NODES,
  },
  memory_mb: {
    kind: "int",
    default: 64,
    help: "bound of the memory for events, in MiB; larger batches are applied in parts",
    min: 8,
    samples: NODES,
  },
  on_error: {
    kind: "string",
    default: "stop",
    choices: ["stop", "skip-table", "quarantine"],
    help:
      "a row that cannot be applied: stop = the replay tries its batch again and again; skip-table = its table is " +
      "left out until `subscriber resync`; quarantine = the row and later ones of its key wait in skyq.quarantine",
    samples: NODES,
  },
  on_error_tables: {
    kind: "list",
    default: [],
    help: "other ways for some tables, the first that matches counts",
    example: "orders=stop, audit.*=quarantine",
    samples: NODES,
  },
  quarantine_max: {
    kind: "int",
    default: 10_000,
    help: "events of one table in quarantine; one more, and the table is left out as by skip-table",
    min: 0,
    samples: NODES,
  },
  keepalive_stats: {
    kind: "duration",
    default: 300,
    help: "an idle job writes a statistics line this often",
    min: 0,
    samples: NODES,
  },
  ticker: {
    kind: "string",
    default: "auto",
    choices: ["auto", "on", "off"],
    help: "whether replay ticks the queue itself: auto = when no other ticker does",
    samples: ["pair"],
  },
  drop_triggers: {
    kind: "bool",
    default: false,
    help: "drop user triggers at add and restore them by hand, for roles that may not set session_replication_role",
    samples: ["pair"],
  },
  compare_sql: {
    kind: "string",
    default: null,
    help: "what compare runs on both sides instead of comparing rows; _TABLE_, _COLS_ and _WHERE_ are filled in",
    example: "select count(1) as cnt, max(updated_at) as newest from _TABLE_",
    samples: NODES,
  },
  compare_fmt: {
    kind: "string",
    default: null,
    help: "how compare shows the result of compare_sql, as Python's format with its columns (% is doubled in a file)",
    example: "%%(cnt)d rows up to %%(newest)s",
    samples: NODES,
  },
  base_connstr: {
    kind: "dsn",
    default: null,
    help: "serves all databases of one cluster: connect string without dbname",
    example: "host=db1.example.com user=pgq",
    samples: ["ticker"],
  },
  initial_database: {
    kind: "string",
    default: "template1",
    help: "with base_connstr: where the list of databases is read",
    samples: ["ticker"],
  },
  database_list: {
    kind: "list",
    default: [],
    help: "with base_connstr: only these databases, empty = all",
    example: "shop, billing",
    samples: ["ticker"],
  },
  ticker_period: {
    kind: "duration",
    default: "%(loop_delay)s",
    help: "pause between two looks at the queues while events come; idle queues are looked at once a second",
    min: 0.001,
    samples: ["ticker"],
  },
  maint_period: {
    kind: "duration",
    default: 120,
    help: "pause between two rounds of maintenance: table rotation, vacuum",
    min: 0,
    aliases: { maint_delay: 1, maint_delay_min: 60 },
    unset: "-1",
    samples: ["ticker"],
  },
  retry_period: {
    kind: "duration",
    default: 30,
    help: "pause between two looks for events to be retried",
    min: 0,
    samples: ["ticker"],
  },
  check_period: {
    kind: "duration",
    default: 60,
    help: "pause between two looks for new databases and queues",
    min: 0,
    aliases: { queue_refresh_period: 1 },
    samples: ["ticker"],
  },
  stats_period: {
    kind: "duration",
    default: 30,
    help: "pause between two statistics lines",
    min: 0,
    aliases: { ticker_log_delay: 1 },
    samples: ["ticker"],
  },
} as const satisfies Record<string, KeySpec>;

export type Key = keyof typeof KEYS;

interface KindTypes {
  string: string;
  int: number;
  float: number;
  bool: boolean;
  list: readonly string[];
  file: string;
  dsn: string;
  duration: number;
}

/** The type of a key's value; `null` belongs to it when the key has no default. */
export type ConfigValue<K extends Key> =
  | KindTypes[(typeof KEYS)[K]["kind"]]
  | ((typeof KEYS)[K]["default"] extends null ? null : never);

/** What has to be there for each kind of config: of every inner list at least one key. */
export const REQUIRED: Readonly<Record<ConfigKind, readonly (readonly Key[])[]>> = {
  pair: [["provider_db"], ["subscriber_db"], ["pgq_queue_name"]],
  provider: [["provider_db"], ["pgq_queue_name"]],
  subscriber: [["subscriber_db"], ["pgq_queue_name"]],
  node: [["db"], ["pgq_queue_name"]],
  database: [["db", "provider_db"]],
  ticker: [["db", "provider_db", "base_connstr"]],
  /** A config file, whatever is in it. */
  any: [],
  /** No config file. */
  none: [],
};

/** Sections that hold a job, best first. */
export const SECTIONS = ["skyq", "londiste", "londiste3", "pgqadm", "pgqd", "queue", "walmgr"] as const;

/** Keys that steer the reading of the file itself. */
export const READER_KEYS = ["config_format"] as const;

/**
 * Keys of the originals for things that skyq does not have. The `harmless` value says what skyq does anyway and is
 * taken silently; any other is refused, since the job would not do what its config says.
 */
export const REFUSED: Readonly<Record<string, { harmless: RegExp; hint: string }>> = {
  use_skylog: { harmless: /^(0|no|false|off|)$/i, hint: 'Set "use_skylog = 0" and use "logfile".' },
  syslog: { harmless: /^(0|no|false|off|)$/i, hint: 'Set "syslog = 0" and use "logfile".' },
  // These two say nothing as long as syslog is off.
  syslog_ident: { harmless: /^/, hint: "" },
  syslog_facility: { harmless: /^/, hint: "" },
};
