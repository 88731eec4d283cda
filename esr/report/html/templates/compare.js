"use strict";
// Two or three networks side by side: their figures, and how their samples are distributed.

const compare = {
  most: 3,
  colours: ["ranked", "baseline", "front"],
  boxes: [...document.querySelectorAll("#table .pick")],
  chosen: [],

  /** One element for every selection: Plotly finishes a drawing after the call. */
  chart: page.make("div", { id: "samples", className: "chart" }),

  details: () => compare.chosen.map((index) => page.json(`network-${index}`)),

  table(all) {
    const labels = [...new Set(all.flatMap((one) => one.facts.map(([label]) => label)))];
    const value = (one, label) => one.facts.find(([found]) => found === label)?.[1] ?? "–";
    const row = (tag, texts) => page.make("tr", {}, ...texts.map((text, i) =>
      page.make(i ? tag : "th", { textContent: text, className: i ? "figure" : "", scope: i ? "" : "row" })));
    return page.make("table", { className: "plain" },
      page.make("thead", {}, row("th", ["", ...all.map((one) => page.brief(one.name))])),
      page.make("tbody", {}, ...labels.map((label) => row("td", [page.brief(label, 40), ...all.map((one) => value(one, label))]))));
  },

  /** A name in lines that fit below a violin on a phone. */
  folded: (name) => page.brief(name).match(/.{1,12}/gu).map(page.plain).join("<br>"),

  /** One panel for the ratios of the rounds and one for the passes, beside or below each other. */
  panels(all) {
    const kinds = [["ratios", "ratio to the baseline, each round"], ["passes", "each pass / baseline's median of its image"]];
    return kinds.filter(([kind]) => all.some((one) => one[kind]?.length));
  },

  draw() {
    if (!compare.chart.isConnected) return;
    const all = compare.details();
    const panels = compare.panels(all);
    const stacked = page.narrow();
    const layout = page.layout({ showlegend: false, margin: { l: 60, r: 14, t: 30, b: 40 }, violingap: 0.2, ...page.size(stacked ? 560 : 340) });
    const { axis } = layout;
    delete layout.axis;
    panels.forEach(([, title], i) => {
      const [n, span] = [i ? i + 1 : "", panels.length > 1 ? [[0, 0.45], [0.55, 1]][i] : [0, 1]];
      const up = stacked && panels.length > 1 ? [[0.58, 1], [0, 0.42]][i] : [0, 1];
      layout[`xaxis${n}`] = { ...axis, domain: stacked ? [0, 1] : span, anchor: `y${n}`, range: [-0.6, all.length - 0.4], tickvals: all.map((_, at) => at), ticktext: all.map((one) => compare.folded(one.name)), tickangle: 0 };
      layout[`yaxis${n}`] = { ...axis, domain: up, anchor: `x${n}`, title: { text: title, font: { size: 12 } } };
    });
    const traces = panels.flatMap(([kind], i) => all.map((one, at) => ({
      type: "violin", name: page.plain(one.name), y: one[kind] ?? [], x: (one[kind] ?? []).map(() => at),
      xaxis: `x${i ? i + 1 : ""}`, yaxis: `y${i ? i + 1 : ""}`, box: { visible: true, width: 0.15 },
      points: (one[kind]?.length ?? 0) <= 60 ? "all" : "outliers", jitter: 0.4, pointpos: 0, spanmode: "hard",
      marker: { size: 4, opacity: 0.7 }, line: { color: page.colour(compare.colours[at]), width: 1.3 },
      hoverinfo: "y",
    })));
    Plotly.react(compare.chart, traces, layout, page.config());
  },

  show() {
    const ready = compare.chosen.length > 1;
    const names = compare.chosen.map((index) => page.byId("choice").options[index].textContent);
    page.byId("selected").textContent = names.length
      ? `selected: ${names.join(", ")}${ready ? "" : "; one more to compare"}` : "select two or three networks to compare them";
    page.byId("unselect").hidden = !names.length;
    page.byId("compared").hidden = !ready;
    compare.boxes.forEach((box) => {
      box.checked = compare.chosen.includes(Number(box.closest("tr").dataset.index));
      box.disabled = !box.checked && compare.chosen.length >= compare.most;
    });
    if (!ready) { page.byId("comparison").replaceChildren(); return; }
    const all = compare.details();
    const chart = compare.panels(all).length
      ? compare.chart
      : page.make("p", { className: "note", textContent: "Published figures have no samples." });
    page.byId("comparison").replaceChildren(page.make("div", { className: "scroll" }, compare.table(all)), chart);
    compare.draw();
  },

  read() {
    const names = [...page.byId("choice").options].map((option) => option.textContent);
    compare.chosen = state.all("select").map((name) => names.indexOf(name)).filter((index) => index >= 0).slice(0, compare.most);
    compare.show();
  },

  store() {
    state.set({ select: compare.chosen.map((index) => page.byId("choice").options[index].textContent) });
    compare.show();
  },
};

tables.main.addEventListener("change", (event) => {
  if (!event.target.classList.contains("pick")) return;
  const index = Number(event.target.closest("tr").dataset.index);
  compare.chosen = event.target.checked ? [...compare.chosen, index] : compare.chosen.filter((one) => one !== index);
  compare.store();
});
page.byId("unselect").addEventListener("click", () => { compare.chosen = []; compare.store(); });
page.drawings.push(compare.draw);
state.readers.push(compare.read);
