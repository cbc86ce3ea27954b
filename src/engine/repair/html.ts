// The report as one page that needs nothing else: for a browser, a mail, an archive.

import { formatBytes, formatSeconds } from "../../base/units.ts";
import { isCounted, type Sample, type TableReport } from "./report.ts";

export interface ReportHead {
  /** `compare` or `repair`. */
  readonly command: string;
  /** Where, without passwords. */
  readonly source: string;
  readonly target: string;
  readonly startedAt: Date;
  readonly seconds: number;
}

/** Characters of a value that are shown. */
const VALUE_SHOWN_MAX = 400;

/** Builds the page. Everything that comes from a database is escaped. */
export function htmlReport(head: ReportHead, reports: readonly TableReport[]): string {
  const unequal = reports.filter(({ outcome }) => outcome !== "equal" && outcome !== "repaired").length;
  const verdict = unequal === 0
    ? `${reports.length === 1 ? "The table is" : `All ${reports.length} tables are`} equal${
      reports.some(({ outcome }) => outcome === "repaired") ? " now" : ""
    }`
    : `${unequal} of ${reports.length} tables ${unequal === 1 ? "is" : "are"} not proven equal`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>skyq ${escape(head.command)}: ${escape(verdict)}</title>
<style>${STYLE}</style>
</head>
<body>
<header class="${unequal === 0 ? "equal" : "different"}">
<p class="tool">skyq ${escape(head.command)}</p>
<h1>${escape(verdict)}</h1>
<dl>
<dt>source</dt><dd>${escape(head.source)}</dd>
<dt>target</dt><dd>${escape(head.target)}</dd>
<dt>begun</dt><dd>${escape(head.startedAt.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC"))}, took ${
    escape(formatSeconds(head.seconds))
  }</dd>
</dl>
</header>
<main>
<div class="wide"><table class="tables">
<thead><tr><th>table</th><th>result</th><th class="n">source rows</th><th class="n">target rows</th><th class="n">missing</th><th class="n">differing</th><th class="n">extra</th><th class="n">fixed</th><th>how</th></tr></thead>
<tbody>
${reports.map(tableRow).join("\n")}
</tbody>
</table></div>
${reports.filter(({ samples }) => samples.length > 0).map(samplesOf).join("\n")}
</main>
</body>
</html>
`;
}

function tableRow(report: TableReport): string {
  const number = (value: number | null) => `<td class="n">${value === null ? "–" : value.toLocaleString("en-US")}</td>`;
  const areKnown = report.outcome !== "failed" && report.outcome !== "skipped" && !isCounted(report);
  const name = report.samples.length > 0
    ? `<a href="#${idOf(report.table)}">${escape(report.table)}</a>`
    : escape(report.table);
  const notes = [
    report.reason,
    report.unsettled > 0 ? `${report.unsettled} rows left alone: they kept changing` : null,
    report.fixFile,
    report.undoFile,
  ].filter((note) => note !== null);
  const how = report.method === null
    ? ""
    : `${report.method}, ${formatBytes(report.bytes)}, ${formatSeconds(report.seconds)}`;
  return `<tr><td>${name}${notes.map((note) => `<div class="note">${escape(note)}</div>`).join("")}</td>` +
    `<td><span class="badge ${report.outcome}">${report.outcome}</span></td>` +
    number(report.sourceRows) + number(report.targetRows) +
    [report.inserts, report.updates, report.deletes].map((count) => number(areKnown ? count : null)).join("") +
    number(report.applied) + `<td>${escape(how)}</td></tr>`;
}

const KIND_WORDS = { insert: "missing from target", update: "differs", delete: "only in target" } as const;

function samplesOf(report: TableReport): string {
  const count = report.inserts + report.updates + report.deletes;
  const shown = report.samples.length < count
    ? `${report.samples.length} of ${count} differences`
    : `${count} differences`;
  return `<section id="${idOf(report.table)}"><h2>${escape(report.table)} <small>${shown}</small></h2>
${report.samples.map((sample) => sampleTable(report, sample)).join("\n")}
</section>`;
}

function sampleTable({ columns, keySize }: TableReport, { kind, key, source, target }: Sample): string {
  const title = columns.slice(0, keySize).map((name, n) => `${escape(name)} = ${value(key[n] ?? null)}`).join(", ");
  const rows = columns.map((name, n) => {
    const [here, there] = [source?.[n], target?.[n]];
    const isUnlike = here !== there;
    // Of a row that both sides have only what is not the same, and its key.
    if (kind === "update" && !isUnlike && n >= keySize) return "";
    const cell = (text: string | null | undefined, side: string) =>
      text === undefined
        ? `<td class="none">no such row</td>`
        : `<td class="${isUnlike ? side : ""}">${value(text)}</td>`;
    return `<tr><th>${escape(name)}</th>${cell(here, "source")}${cell(there, "target")}</tr>`;
  });
  return `<div class="wide"><table class="sample ${kind}"><caption><span class="badge">${
    KIND_WORDS[kind]
  }</span> ${title}</caption>
<thead><tr><th>column</th><th>source</th><th>target</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

function value(text: string | null): string {
  if (text === null) return `<i>NULL</i>`;
  if (text === "") return `<i>empty</i>`;
  if (text.length <= VALUE_SHOWN_MAX) return `<code>${escape(text)}</code>`;
  return `<code>${escape(text.slice(0, VALUE_SHOWN_MAX))}</code><i>… ${
    text.length.toLocaleString("en-US")
  } characters</i>`;
}

function idOf(table: string): string {
  return `t-${encodeURIComponent(table).replace(/[^A-Za-z0-9]/g, (char) => `_${char.charCodeAt(0).toString(16)}`)}`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
    // What is invisible, or turns the direction of the text, is shown by its number.
    .replace(
      // deno-lint-ignore no-control-regex
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g,
      (char) => `<i>U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}</i>`,
    );
}

const STYLE = `
:root{color-scheme:light dark;--line:#8883;--soft:#8881;--ok:#1a7f4b;--bad:#b3261e;--warn:#8a6100}
@media (prefers-color-scheme:dark){:root{--ok:#5fce94;--bad:#ff8a80;--warn:#e8b94a}}
body{font:15px/1.5 system-ui,sans-serif;margin:0;overflow-wrap:anywhere}
header{padding:1.5rem 2rem;border-bottom:1px solid var(--line);border-left:.5rem solid var(--ok)}
header.different{border-left-color:var(--bad)}
h1{margin:0 0 .75rem;font-size:1.6rem}.tool{margin:0;opacity:.7}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:0}dt{opacity:.7}dd{margin:0}
main{padding:1rem 2rem 3rem;max-width:90rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.75rem 0}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
thead th{opacity:.7;font-weight:600;white-space:nowrap}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.note{font-size:.85em;opacity:.75}
.badge{font-weight:600;white-space:nowrap}
.equal .badge,.badge.equal,.badge.repaired{color:var(--ok)}
.badge.different,.badge.failed{color:var(--bad)}.badge.skipped,.badge.unsettled{color:var(--warn)}
h2{margin:2rem 0 .5rem;font-size:1.2rem}h2 small{font-weight:400;opacity:.7}
.sample{border:1px solid var(--line);table-layout:fixed;min-width:40rem}
.sample caption{text-align:left;padding:.4rem .6rem;background:var(--soft)}
.sample th:first-child{width:14rem}
.sample td{white-space:pre-wrap}
td.source{background:#1a7f4b22}td.target{background:#b3261e22}td.none{opacity:.5;font-style:italic}
code{font:13px/1.5 ui-monospace,monospace}i{opacity:.6}
`;
