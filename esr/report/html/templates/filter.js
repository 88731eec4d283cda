"use strict";
// The filter: words of a row, its tags, and conditions on its figures, as in `tainted params < 0.3`.

const filter = {
  box: page.byId("filter"),
  tags: [...page.byId("chips").children].map((chip) => chip.dataset.tag),
  term: /("[^"]*"|[^\s"<>=≤≥]+)\s*(<=|>=|≤|≥|<|>|=)\s*(-?[\d.]+(?:e-?\d+)?)(?=\s|$)|"([^"]*)"|(\S+)/gu,
  tests: {
    "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
    "≤": (a, b) => a <= b, "≥": (a, b) => a >= b, "=": (a, b) => Math.abs(a - b) <= 1e-9 * Math.abs(b),
  },

  /** The column that a word names: by key, by header, or by the beginning of either. */
  column(word) {
    const named = word.replaceAll('"', "").toLowerCase();
    const spellings = [
      ({ key }) => key, ({ header }) => header.toLowerCase(),
      ({ header }) => header.toLowerCase().split(" ")[0], ({ key }) => key.split("_")[0],
    ];
    const known = tables.columns.filter(({ figure }) => figure);
    if (named === "rank") return known.find(({ key }) => key === "place");
    for (const spelling of spellings) {
      const found = known.find((column) => spelling(column) === named);
      if (found) return found;
    }
    return undefined;
  },

  condition(word, sign, number) {
    const column = filter.column(word);
    if (!column || Number.isNaN(Number(number))) {
      const known = tables.columns.filter(({ figure }) => figure).map(({ header }) => header.replace(/ \[.*/, ""));
      throw new RangeError(column ? `${number} is not a number.` : `There is no column ${word}. Columns: ${known.join(", ")}.`);
    }
    return (row) => {
      const key = tables.key(row, column.index);
      return key !== null && filter.tests[sign](key / column.unit, Number(number));
    };
  },

  /** A word that is no part of a condition. */
  complete(word) {
    if (/[<>=≤≥]/u.test(word)) throw new RangeError(`“${word}” is no condition: write a column, a sign and a number, as params < 0.3.`);
    return word;
  },

  /** A tag is matched whole, as it stands in the row; any other word is searched for. */
  word(text) {
    const word = text.toLowerCase();
    return filter.tags.includes(word)
      ? (row) => row.dataset.tags.split(",").includes(word)
      : (row) => row.dataset.words.includes(word);
  },

  conditions(text) {
    const quoted = filter.tags.filter((tag) => tag.includes(" "))
      .reduce((all, tag) => all.replace(new RegExp(`(^|\\s)${tag}(?=\\s|$)`, "gi"), `$1"${tag}"`), text);
    return [...quoted.matchAll(filter.term)].map(([, column, sign, number, phrase, word]) =>
      sign ? filter.condition(column, sign, number) : filter.word(phrase ?? filter.complete(word))).filter(Boolean);
  },

  apply() {
    const text = filter.box.value.trim();
    const rows = [...tables.main.tBodies[0].rows];
    let matching = rows;
    let mistake = "";
    try {
      const conditions = filter.conditions(text);
      matching = rows.filter((row) => conditions.every((condition) => condition(row)));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      [matching, mistake] = [[], error.message];
    }
    tables.left = text ? new Set(matching.map((row) => Number(row.dataset.index))) : null;
    tables.all.forEach(tables.arrange);
    page.byId("shown").textContent = text ? `${matching.length} of ${rows.length} networks` : `${rows.length} networks`;
    page.byId("nothing").hidden = matching.length > 0;
    page.byId("nothing").firstElementChild.textContent = mistake || `No network matches “${text}”. `;
    for (const chip of page.byId("chips").children) chip.setAttribute("aria-pressed", filter.has(chip.dataset.tag));
    state.set({ filter: text || null });
    tables.fit();
    dispatchEvent(new CustomEvent("filtered", { detail: tables.left }));
  },

  spelt: (tag) => tag.includes(" ") ? `"${tag}"` : tag,
  terms: () => [...filter.box.value.matchAll(filter.term)].map(([term]) => term),
  has: (tag) => filter.terms().includes(filter.spelt(tag)),

  toggle(tag) {
    const term = filter.spelt(tag);
    const terms = filter.terms();
    filter.box.value = (terms.includes(term) ? terms.filter((one) => one !== term) : [...terms, term]).join(" ");
    filter.apply();
  },

  read() {
    filter.box.value = state.get("filter") ?? "";
    filter.apply();
  },
};

filter.box.addEventListener("input", filter.apply);
page.byId("chips").addEventListener("click", (event) => {
  const chip = event.target.closest("button");
  if (chip) filter.toggle(chip.dataset.tag);
});
page.byId("clear").addEventListener("click", () => { filter.box.value = ""; filter.apply(); filter.box.focus(); });
state.readers.unshift(filter.read);
