"use strict";
// One network's section, built from its JSON once it is chosen.

const network = {
  count: page.byId("choice").options.length,

  list: (pairs, links = {}) => page.make("dl", {}, ...pairs.flatMap(([label, value]) => [
    page.make("dt", { textContent: label }),
    page.make("dd", {}, links[label] ? page.make("a", { href: links[label], rel: "noreferrer", textContent: value }) : value),
  ])),

  lines: (texts) => page.make("ul", { className: "lines" }, ...texts.map((text) => page.make("li", { textContent: text }))),

  headed: (title, ...parts) => page.make("div", {}, page.make("h4", { textContent: title }), ...parts),

  images(rows, role) {
    const heads = ["image", "LR", "PSNR [dB]", "Δ to baseline", "SSIM", "ms", "ratio"];
    const used = heads.map((_, i) => i < 2 || rows.some((row) => row[i] !== "–"));
    const cells = (row, tag) => row.map((text, i) => used[i]
      ? page.make(i === 0 && tag === "td" ? "th" : tag, { textContent: text, className: i > 1 ? "figure" : "" }) : null);
    const table = page.folding(page.make("table", { className: "plain" },
      page.make("thead", {}, page.make("tr", {}, ...cells(heads, "th"))),
      page.make("tbody", {}, ...rows.map((row) => page.make("tr", {}, ...cells(row, "td"))))));
    const scroll = page.make("div", { className: "scroll", tabIndex: 0 }, table);
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "quality and time per image");
    return scroll;
  },

  /** Clocks and temperatures matter for their changes; a change below a tenth should look small. */
  span(unit, all) {
    if (unit === "W" || unit === "cores") return { rangemode: "tozero" };
    const values = all.filter((series) => series.unit === unit).flatMap((series) => series.y);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = Math.max(0.05 * high, 0.1 * (high - low));
    return { range: [low - room, high + room] };
  },

  /** One panel per unit, stacked over the same seconds; tainted windows are shaded. */
  trace(details, target) {
    const units = [...new Set(details.series.map((series) => series.unit))];
    const palette = ["ranked", "baseline", "front"];
    const layout = page.layout({ margin: { l: 60, r: 14, t: 28, b: 40 }, ...page.size(90 + 120 * units.length) });
    const { axis } = layout;
    delete layout.axis; delete layout.yaxis;
    layout.xaxis = { ...axis, title: { text: "seconds since telemetry began" }, anchor: `y${units.length > 1 ? units.length : ""}` };
    const height = 1 / units.length;
    units.forEach((unit, i) => {
      const key = i ? `yaxis${i + 1}` : "yaxis";
      const gap = i < units.length - 1 ? 0.08 : 0;
      layout[key] = { ...axis, domain: [1 - (i + 1) * height + gap * height, 1 - i * height], title: { text: unit }, ...network.span(unit, details.series) };
    });
    layout.legend = { orientation: "h", x: 0, y: 1.01, yanchor: "bottom" };
    layout.showlegend = true;
    layout.shapes = details.shades.map((shade) => ({
      type: "rect", xref: "x", yref: "paper", x0: shade.start, x1: shade.end, y0: 0, y1: 1, layer: "below",
      line: { width: 0 }, fillcolor: page.colour("taint"), opacity: shade.replaced ? 0.1 : 0.2,
    }));
    const traces = details.series.map((series, i) => ({
      type: "scatter", mode: "lines", name: page.plain(`${series.name} [${series.unit}]`), x: series.x, y: series.y,
      yaxis: `y${units.indexOf(series.unit) ? units.indexOf(series.unit) + 1 : ""}`,
      line: { width: 1.5, color: page.colour(palette[i % palette.length]) }, hovertemplate: "%{y} at %{x} s<extra></extra>",
    }));
    Plotly.react(target, traces, layout, page.config());
  },

  telemetry(details) {
    const target = page.make("div", { className: "chart trace", id: "trace" });
    const counts = new Map();
    details.shades.forEach((shade) => shade.reasons.forEach((reason) => counts.set(reason, (counts.get(reason) ?? 0) + 1)));
    const words = [...counts].map(([reason, count]) => `${reason} in ${count}`).join(", ");
    const caption = details.shades.length
      ? `Shaded: ${details.shades.length} tainted blocks of both networks (${words}); lighter: measured again.`
      : "No block of either network is tainted by telemetry.";
    return [target, page.make("p", { className: "caption", textContent: caption })];
  },

  parts(details) {
    const parts = [page.make("h3", {}, details.name,
      details.flag ? page.make("span", { className: `flag ${details.flag}`, textContent: details.flag }) : null)];
    const halves = [network.headed("Figures", network.list(details.facts))];
    if (details.card) halves.push(network.headed("Card", network.list(details.card, { paper: details.link })), network.headed("Environment", network.list(details.environment)));
    parts.push(page.make("div", { className: "halves" }, ...halves));
    const notes = [...details.notes, ...(details.missing ? [details.missing] : [])];
    if (notes.length) parts.push(network.headed("Notes", network.lines(notes)));
    if (details.findings?.length) parts.push(network.headed("Verdict", network.lines(details.findings)));
    if (details.crops?.length) parts.push(network.headed("Pictures", crops.section(details)));
    if (details.crops_missing) parts.push(network.headed("Pictures", page.make("p", { className: "note", textContent: "Left out: missing, unusable, or beyond a report's limits." })));
    if (details.images?.length) parts.push(network.headed("Per image", network.images(details.images)));
    if (details.series?.length) parts.push(network.headed("Telemetry", ...network.telemetry(details)));
    return parts;
  },

  show(index) {
    const details = page.json(`network-${index}`);
    const old = page.byId("trace");
    if (old) Plotly.purge(old);
    page.byId("details").replaceChildren(...network.parts(details));
    network.drawn = details;
    if (chart.drawn) network.draw();
    page.byId("choice").selectedIndex = index;
    document.querySelectorAll("#table tr.chosen").forEach((row) => row.classList.remove("chosen"));
    document.querySelector(`#table tr[data-index="${index}"]`)?.classList.add("chosen");
    dispatchEvent(new CustomEvent("chosen", { detail: index }));
  },

  draw() { if (page.byId("trace")) network.trace(network.drawn, page.byId("trace")); },

  /** Shows a network and names it in the address. */
  choose(index) {
    state.set({ network: page.byId("choice").options[index].textContent }, true);
    network.show(index);
  },

  /** Shows the network that the address names, or the first. */
  read() {
    const key = state.get("network");
    const index = [...page.byId("choice").options].findIndex((option) => option.textContent === key);
    const known = page.byId("choice").selectedIndex;
    if (index !== known || !network.drawn) network.show(Math.max(0, index));
    if (index >= 0 && index !== known) page.byId("network").scrollIntoView();
  },

  step: (by) => network.choose((page.byId("choice").selectedIndex + by + network.count) % network.count),
};

page.byId("choice").addEventListener("change", () => network.step(0));
page.byId("previous").addEventListener("click", () => network.step(-1));
page.byId("next").addEventListener("click", () => network.step(1));
// A link to a network keeps the rest of the address.
addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#network="]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  network.choose(Number(link.closest("tr").dataset.index));
  page.byId("network").scrollIntoView();
});
page.drawings.push(network.draw);
if (network.count) state.readers.push(network.read);
state.apply();
page.draw();
