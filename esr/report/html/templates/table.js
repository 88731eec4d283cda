"use strict";
// Sorting by column headers, and the filter.

const tables = {
  /** Compares two keys; unknown ones come last in both directions. */
  compare(a, b, down) {
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "string" ? a.localeCompare(b) : a - b;
    return down ? -order : order;
  },

  key(row, column) {
    const text = row.cells[column].dataset.key;
    if (text === undefined) return null;
    const value = Number(text);
    return row.cells[column].classList.contains("figure") ? value : text;
  },

  sort(table, column, down) {
    const rows = [...table.tBodies[0].rows];
    const keys = new Map(rows.map((row) => [row, tables.key(row, column)]));
    rows.sort((a, b) =>
      tables.compare(keys.get(a), keys.get(b), down) || a.dataset.index - b.dataset.index);
    table.tBodies[0].replaceChildren(...rows);
    tables.arrange(table);
  },

  sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      // Higher PSNR is better: its first click shows the best first.
      const best = head.dataset.column.startsWith("psnr_rgb_") ? "descending" : "ascending";
      const next = before === null ? best : before === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", next);
      tables.sort(table, column, next === "descending");
    }));
  },

  words: [],

  /** Shows rows that hold every word of the filter; only the first ones until all are asked for. */
  arrange(table) {
    const rows = [...table.tBodies[0].rows];
    const words = table.id === "table" ? tables.words : [];
    const matching = rows.filter((row) => words.every((word) => row.dataset.words.includes(word)));
    const shown = new Set("all" in table.dataset ? matching : matching.slice(0, Number(table.dataset.first)));
    for (const row of rows) row.hidden = !shown.has(row);
    const more = page.byId(`${table.id}-more`);
    more.hidden = shown.size === matching.length;
    more.textContent = `show all ${matching.length} rows`;
    return { matching, total: rows.length };
  },

  filter() {
    tables.words = page.byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const { matching, total } = tables.arrange(page.byId("table"));
    page.byId("shown").textContent = tables.words.length ? `${matching.length} of ${total}` : "";
    const left = new Set(matching.map((row) => Number(row.dataset.index)));
    dispatchEvent(new CustomEvent("filtered", { detail: tables.words.length ? left : null }));
  },

  all(table) {
    table.dataset.all = "";
    tables.arrange(table);
  },
};

for (const table of ["table", "published"].map(page.byId).filter(Boolean)) {
  tables.sortable(table);
  tables.arrange(table);
  page.byId(`${table.id}-more`).addEventListener("click", () => tables.all(table));
  addEventListener("beforeprint", () => tables.all(table));
}
page.byId("table").tHead.querySelector('[data-column="place"]')?.setAttribute("aria-sort", "ascending");
page.byId("filter").addEventListener("input", tables.filter);
page.byId("table").tBodies[0].addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (event.target.closest("a")) return;
  if (row && !String(getSelection())) row.querySelector("a").click();
});
