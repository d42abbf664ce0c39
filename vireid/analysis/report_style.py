"""How a report looks: on a desk, on a phone, on paper."""

STYLE = """
:root { color-scheme: light; --line: #d5d9de; --quiet: #55606b; --accent: #0b5a8f; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1rem; max-width: 64rem; color: #1b1f23; background: #fff;
  overflow-wrap: anywhere;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; padding-bottom: .2rem;
  border-bottom: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .25rem; }
a { color: var(--accent); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: 0; padding: 0;
  list-style: none; }
.quiet { color: var(--quiet); font-size: .9rem; }
.rules { padding-left: 1.2rem; font-size: .9rem; }
.scroll { overflow-x: auto; max-width: 100%; margin: .75rem 0; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .7rem; text-align: left; vertical-align: top; overflow-wrap: break-word;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { border-bottom: 2px solid var(--quiet); white-space: nowrap; }
tbody th { font-weight: 500; max-width: 22rem; }
td { max-width: 26rem; }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.figures { display: flex; flex-wrap: wrap; gap: 0 2rem; }
figure { margin: 1rem 0; max-width: 100%; }
figure .scroll { margin: 0; }
.table figcaption { padding: 0 0 .2rem; }
figure img { display: block; width: 100%; height: auto; }
figcaption { color: var(--quiet); font-size: .9rem; }
pre { margin: .5rem 0; padding: .6rem .8rem; background: #f4f6f8; font-size: .85rem;
  white-space: pre-wrap; }
.options { columns: 22rem; }
summary { cursor: pointer; color: var(--accent); }
@media (max-width: 40rem) {
  th, td { padding: .3rem .5rem; }
  td { overflow-wrap: anywhere; min-width: 6rem; }
  td.number { min-width: 0; }
}
@page { margin: 15mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table, pre { font-size: 7.5pt; }
  th, td { padding: .15rem .35rem; }
  thead th { white-space: normal; }
  th, td { overflow-wrap: anywhere; }
  .options { font-size: 6.5pt; columns: 3; }
  .figures { display: block; }
  tr, figure, pre { break-inside: avoid; }
  figure.table { break-inside: auto; }
  h2, h3, .table figcaption, summary { break-after: avoid; }
  figure img { min-width: 0 !important; max-height: 75mm; width: auto; }
  details::details-content { content-visibility: visible; height: auto; }
  summary { list-style: none; color: inherit; font-weight: 600; }
}
"""
