"""Looks and behaviour of the HTML report."""

from __future__ import annotations

STYLE = """\
:root { color-scheme: light dark; --line: #8884; --quiet: #6b7280; --link: #1d4ed8; }
@media (prefers-color-scheme: dark) { :root { --quiet: #9ca3af; --link: #93c5fd; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: left; }
th.number, td.number { text-align: right; }
td { white-space: nowrap; vertical-align: top; }
td:last-child { white-space: normal; min-width: 22rem; }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0;
  padding: 0; cursor: pointer; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
tr.beneath td { color: var(--quiet); } tr.beneath td:first-child { padding-left: 1.6rem; }
a { color: var(--link); }
code { font-size: .85em; overflow-wrap: anywhere; }
figure { margin: 2rem 0; } figure svg { width: 100%; height: auto; }
.note { color: var(--quiet); }
details { border-bottom: 1px solid var(--line); padding: .25rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .9em; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  table, thead, tbody, tr, td { display: block; }
  thead tr { display: flex; flex-wrap: wrap; border: 0; }
  th, th.number { border: 0; padding: .1rem .8rem .1rem 0; }
  tr { border-bottom: 1px solid var(--line); padding: .4rem 0; }
  tr.beneath { padding-left: 1.2rem; } tr.beneath td:first-child { padding-left: 0; }
  td, td.number, td:last-child { border: 0; padding: 0; min-width: 0; text-align: left;
    white-space: normal; }
  td:empty { display: none; } td:first-child { font-weight: 600; }
  td[data-label]::before { content: attr(data-label) " "; color: var(--quiet); }
  dl { display: block; } dd { margin-bottom: .3rem; }
}
"""

SCRIPT = """\
// A line beneath another one stays beneath it.
function groups(body) {
  const found = [];
  for (const row of body.rows) {
    if (row.classList.contains("beneath") && found.length) found[found.length - 1].push(row);
    else found.push([row]);
  }
  return found;
}
function value(group, column) {
  const text = group[0].cells[column].textContent.trim();
  const number = parseFloat(text.replace("\\u2212", "-"));
  return Number.isNaN(number) ? text : number;
}
function compare(a, b) {
  // Nothing comes last, and numbers before words.
  const rank = (v) => (typeof v === "number" ? 0 : v && v !== "\\u2013" ? 1 : 2);
  if (rank(a) !== rank(b)) return { by: rank(a) - rank(b), fixed: true };
  return { by: typeof a === "number" ? a - b : a.localeCompare(b), fixed: rank(a) === 2 };
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const body = head.closest("table").tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sorted = groups(body).sort((one, other) => {
      const found = compare(value(one, head.cellIndex), value(other, head.cellIndex));
      return down && !found.fixed ? -found.by : found.by;
    });
    for (const group of sorted) body.append(...group);
  });
}
function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) target.open = true;
}
addEventListener("hashchange", open);
open();
"""
