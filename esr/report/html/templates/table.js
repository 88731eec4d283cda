"use strict";
// The tables: sorting by column headers, and the columns that fit or were chosen.

const tables = {
  all: ["table", "published", "claimed"].map(page.byId).filter(Boolean),
  main: page.byId("table"),

  /** Columns that a narrow page does without, in this order, before other figures; the essential ones always stay. */
  dropped: ["convolutions", "team", "energy", "macs", "activations", "memory", "runtime_ms", "rank_interval"],
  essential: ["place", "network", "status", "ratio"],

  columns: [...page.byId("table").tHead.rows[0].cells].map((head, index) => ({
    index, key: head.dataset.column, header: head.textContent.trim(),
    unit: Number(head.dataset.unit ?? 1), figure: head.classList.contains("figure"),
  })),

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

  sort(table, key, down) {
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.findIndex((head) => head.dataset.column === key);
    if (column < 0) return;
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    const keys = new Map(rows.map((row) => [row, tables.key(row, column)]));
    rows.sort((a, b) =>
      tables.compare(keys.get(a), keys.get(b), down) || a.dataset.index - b.dataset.index);
    table.tBodies[0].replaceChildren(...rows);
    tables.arrange(table);
  },

  sortable(table) {
    for (const head of table.tHead.rows[0].cells) head.querySelector("button").addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      // The first click shows the best first.
      const best = head.dataset.better === "high" ? "descending" : "ascending";
      const down = (before === null ? best : before === "ascending" ? "descending" : "ascending") === "descending";
      tables.sort(table, head.dataset.column, down);
      if (table === tables.main) state.set({ sort: `${down ? "-" : ""}${head.dataset.column}` });
    });
  },

  /** Indices of the networks that the filter leaves; `null` without a filter. */
  left: null,

  /** Shows rows that the filter leaves; only the first ones until all are asked for. */
  arrange(table) {
    const rows = [...table.tBodies[0].rows];
    const matching = rows.filter((row) => tables.left === null || tables.left.has(Number(row.dataset.index)));
    const shown = new Set("all" in table.dataset ? matching : matching.slice(0, Number(table.dataset.first)));
    for (const row of rows) row.hidden = !shown.has(row);
    const more = page.byId(`${table.id}-more`);
    more.hidden = shown.size === matching.length;
    more.textContent = `show all ${matching.length} rows`;
  },

  all_rows(table) {
    table.dataset.all = "";
    tables.arrange(table);
  },

  /** Keys of the columns that stand in the address; `null`: those that fit. */
  chosen: null,
  sheet: new CSSStyleSheet(),

  hide(keys) {
    const hidden = tables.columns.filter((column) => keys.has(column.key));
    tables.sheet.replaceSync(hidden.map(({ index }) =>
      `#table tr > :nth-child(${index + 1}) { display: none; }`).join("\n"));
    const shown = tables.columns.length - hidden.length;
    page.byId("columns").firstElementChild.textContent =
      hidden.length ? `columns: ${shown} of ${tables.columns.length}` : "columns";
    for (const box of page.byId("columns").querySelectorAll("input")) box.checked = !keys.has(box.value);
  },

  /** Hides columns until the others fit, or those that were not chosen. */
  fit() {
    if (tables.chosen) return tables.hide(new Set(tables.columns.map(({ key }) => key).filter((key) => !tables.chosen.has(key))));
    const hidden = new Set();
    tables.hide(hidden);
    if ("printing" in document.documentElement.dataset) return undefined;
    const psnr = tables.columns.find(({ key }) => key.startsWith("psnr_"))?.key;
    const others = tables.columns.map(({ key }) => key).reverse()
      .filter((key) => !tables.essential.includes(key) && key !== psnr && !tables.dropped.includes(key));
    for (const key of [...tables.dropped, ...others]) {
      if (tables.main.scrollWidth <= tables.main.parentElement.clientWidth) break;
      if (!tables.columns.some((column) => column.key === key)) continue;
      hidden.add(key);
      tables.hide(hidden);
    }
    return undefined;
  },

  picker() {
    const boxes = tables.columns.filter(({ key }) => key !== "network").map(({ key, header }) => page.make("label", {},
      page.make("input", { type: "checkbox", value: key, checked: true }), header));
    const fitting = page.make("button", { type: "button", textContent: "those that fit" });
    page.byId("columns").append(page.make("div", {}, ...boxes, fitting));
    page.byId("columns").addEventListener("change", () => {
      const on = [...page.byId("columns").querySelectorAll("input:checked")].map((box) => box.value);
      state.set({ columns: ["network", ...on].join(",") });
      tables.read();
    });
    fitting.addEventListener("click", () => { state.set({ columns: null }); tables.read(); });
  },

  read() {
    const columns = state.get("columns");
    tables.chosen = columns === null ? null : new Set(columns.split(","));
    tables.fit();
  },

  readSort() {
    const sort = state.get("sort") ?? "place";
    tables.sort(tables.main, sort.replace(/^-/, ""), sort.startsWith("-"));
  },

  save(name, type, text) {
    const link = page.make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  },

  /** What the table shows as a file: only the networks that the filter leaves. */
  csv() {
    const [header, ...lines] = page.json("csv-data");
    return header + lines.filter((_, index) => tables.left === null || tables.left.has(index)).join("");
  },

  json() {
    const whole = page.json("ranking-data");
    const rows = whole.rows.filter((_, index) => tables.left === null || tables.left.has(index));
    return JSON.stringify({ ...whole, rows }, null, 1);
  },

  start() {
    document.adoptedStyleSheets = [tables.sheet];
    tables.picker();
    tables.all.forEach((table) => {
      if (table !== tables.main) page.folding(table);
      tables.sortable(table);
      tables.arrange(table);
      page.byId(`${table.id}-more`).addEventListener("click", () => tables.all_rows(table));
      addEventListener("beforeprint", () => tables.all_rows(table));
      table.tBodies[0].addEventListener("click", (event) => {
        if (event.target.closest("a, input, label") || String(getSelection())) return;
        event.target.closest("tr")?.querySelector("a").click();
      });
    });
    page.byId("save-csv").addEventListener("click", () => tables.save("ranking.csv", "text/csv", tables.csv()));
    page.byId("save-json").addEventListener("click", () => tables.save("ranking.json", "application/json", tables.json()));
    addEventListener("resize", tables.fit);
    page.drawings.push(tables.fit);
    state.readers.push(tables.read, tables.readSort);
  },
};

tables.start();
