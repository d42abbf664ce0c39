"use strict";
// A dash or an empty cell has no value; "71.4 ± 1.8" counts as 71.4.
const valueOf = (cell) => {
  const text = cell.textContent.trim().replace(/(\d),(?=\d{3})/g, "$1");
  if (text === "" || text === "–") return null;
  const number = /^[+-]?\d+(\.\d+)?(?=$|\s)/.exec(text);
  return number ? Number(number[0]) : text;
};
const sortBy = (table, head) => {
  const column = head.cellIndex, rows = [...table.tBodies[0].rows];
  const values = new Map(rows.map((row) => [row, valueOf(row.cells[column])]));
  const numbers = [...values.values()].every((v) => v === null || typeof v === "number");
  const before = head.getAttribute("aria-sort");
  const down = before ? before === "ascending" : numbers; // the highest score comes first
  const compare = (a, b) => (numbers ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true }));
  rows.sort((one, other) => {
    const a = values.get(one), b = values.get(other);
    if (a === null || b === null) return (a === null) - (b === null);
    return down ? compare(b, a) : compare(a, b);
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  table.tBodies[0].append(...rows);
};
for (const table of document.querySelectorAll("table.sortable")) {
  if (table.tBodies[0].rows.length < 2) continue;
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, head));
    head.append(button);
  }
}
