"use strict";
// The chart of quality against runtime, and the correlations.

const chart = {
  data: page.json("chart-data"),
  chosen: null,
  drawn: false,
  kinds: [["ranked", "ranked"], ["unranked", "not ranked"], ["baseline", "baseline"]],

  axis: (name) => chart.data[name][page.byId(`chart-${name}`).selectedIndex],

  /** Bubble diameters in pixels: area by parameters. */
  sizes(indices) {
    const params = chart.data.networks.map((network) => network.params);
    const most = Math.max(...params.filter((value) => value !== null), 1);
    // A thousand bubbles need to be smaller than forty.
    const largest = (page.narrow() ? 26 : 38) * Math.min(1, Math.sqrt(80 / params.length));
    return indices.map((index) => params[index] === null ? 9 : Math.max(5, largest * Math.sqrt(params[index] / most)));
  },

  bars(x, indices) {
    if (!x.low) return undefined;
    const span = (from, to) => indices.map((i) => x.low[i] === null ? null : Math.max(0, to(i) - from(i)));
    return {
      type: "data", symmetric: false, thickness: 1.2, width: 3,
      array: span((i) => x.values[i], (i) => x.high[i]),
      arrayminus: span((i) => x.low[i], (i) => x.values[i]),
    };
  },

  hover(index) {
    const network = chart.data.networks[index];
    return [`<b>${page.plain(network.key)}</b>`, ...network.hover.map(page.plain)].join("<br>");
  },

  bubbles([kind, name], x, y) {
    const networks = chart.data.networks;
    const indices = chart.shown(x, y).filter((i) => networks[i].kind === kind);
    const colour = page.colour(kind);
    return {
      type: "scatter", mode: "markers", cliponaxis: false, name, customdata: indices.map((i) => networks[i].index), legendgroup: name, showlegend: false,
      x: indices.map((i) => x.values[i]), y: indices.map((i) => y.values[i]),
      error_x: { ...chart.bars(x, indices), color: colour },
      hoverinfo: "text", hovertext: indices.map(chart.hover),
      marker: {
        color: colour, size: chart.sizes(indices), sizemode: "diameter",
        symbol: indices.map((i) => networks[i].flag ? "circle-open" : "circle"),
        opacity: 0.8,
        line: { width: indices.map((i) => networks[i].index === chart.chosen ? 3 : networks[i].flag ? 2 : 0.5),
                color: indices.map((i) => networks[i].index === chart.chosen ? page.colour("ink") : networks[i].flag ? colour : page.colour("paper")) },
      },
    };
  },

  /** The legend's mark of a kind: Plotly would show the first bubble's, which may be hollow or chosen. */
  mark: ([kind, name]) => ({
    type: "scatter", mode: "markers", name, legendgroup: name, x: [null], y: [null], hoverinfo: "skip",
    marker: { color: page.colour(kind), size: 10, opacity: 0.8 },
  }),

  /** Networks that the filter leaves, and whose figures are known on both axes. */
  shown: (x, y) => chart.data.networks.map((_, i) => i).filter((i) =>
    x.values[i] !== null && y.values[i] !== null && (tables.left === null || tables.left.has(chart.data.networks[i].index))),

  /** Ranked networks, which pass the gate, that no other beats on both axes, from left to right. */
  pareto(x, y) {
    const sign = y.better === "high" ? -1 : 1;
    const ranked = chart.shown(x, y).filter((i) => chart.data.networks[i].kind === "ranked");
    ranked.sort((a, b) => x.values[a] - x.values[b] || sign * (y.values[a] - y.values[b]));
    let [best, at] = [Infinity, null];
    return ranked.filter((i) => {
      const [a, b] = [x.values[i], sign * y.values[i]];
      if (!(b < best || (b === best && a === at))) return false;
      [best, at] = [b, a];
      return true;
    });
  },

  front(x, y) {
    const indices = chart.pareto(x, y);
    return {
      type: "scatter", mode: "lines", name: "Pareto front",
      x: indices.map((i) => x.values[i]), y: indices.map((i) => y.values[i]),
      line: { color: page.colour("front"), width: 1.5 }, hoverinfo: "skip",
    };
  },

  /** Names of the front and of the first in the ranking: where they cover no bubble, else only none of theirs; none covers another. */
  names(x, y) {
    const { xaxis, yaxis } = page.byId("chart")._fullLayout;
    const winner = chart.shown(x, y).filter((i) => chart.data.networks[i].kind === "ranked").slice(0, 1);
    const indices = [...new Set([...winner, ...chart.pareto(x, y)])];
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const sizes = chart.sizes(indices);
    const spots = indices.map((i, at) => ({
      x: xaxis.d2p(x.values[i]), y: yaxis.d2p(y.values[i]), r: sizes[at] / 2, name: page.brief(chart.data.networks[i].key),
    }));
    const disc = ({ x: across, y: up, r }) => ({ left: across - r, right: across + r, top: up - r, bottom: up + r });
    const taken = spots.map(disc);
    const rest = chart.shown(x, y).filter((i) => !indices.includes(i));
    const radii = chart.sizes(rest);
    const others = rest.map((i, at) => disc({ x: xaxis.d2p(x.values[i]), y: yaxis.d2p(y.values[i]), r: radii[at] / 2 }));
    const apart = (a, b) => a.left >= b.right || b.left >= a.right || a.top >= b.bottom || b.top >= a.bottom;
    const inside = (box) => box.left >= 0 && box.right <= xaxis._length && box.top >= -4 && box.bottom <= yaxis._length;
    const free = (box, own, obstacles) => inside(box) && obstacles.every((other, at) => at === own || apart(box, other));
    return spots.flatMap((spot, at) => {
      const width = pen.measureText(spot.name).width + 6;
      const gap = spot.r + 10;
      const side = width / 2 + spot.r + 2;
      const places = [[0, -gap], [0, gap], [side, 0], [-side, 0], [side, -gap], [-side, -gap], [side, gap], [-side, gap]];
      const boxed = places.map(([across, down]) => [across, down, {
        left: spot.x + across - width / 2, right: spot.x + across + width / 2, top: spot.y + down - 9, bottom: spot.y + down + 9,
      }]);
      const best = boxed.find(([, , box]) => free(box, at, [...taken, ...others])) ?? boxed.find(([, , box]) => free(box, at, taken));
      if (best) {
        const [across, down, box] = best;
        taken.push(box);
        return [{
          x: chart.place(x, x.values[indices[at]]), y: y.values[indices[at]], text: page.plain(spot.name), showarrow: false,
          xshift: across, yshift: -down, font: { size: 12, color: page.colour("ink") }, borderpad: 0,
        }];
      }
      return [];
    });
  },

  /** A value's position on an axis, which may be logarithmic. */
  place: (axis, value) => axis.log ? Math.log10(value) : value,

  /** Round values for a logarithmic axis, about eight at most. */
  ticks([low, high]) {
    const steps = high - low > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
    const decades = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => 10 ** (Math.floor(low) + i));
    return decades.flatMap((decade) => steps.map((step) => Number((step * decade).toPrecision(2))));
  },

  /** The span of some networks on an axis, with room around it; counts begin at 0, ranks before 1. */
  range(axis, indices) {
    const ends = [axis.gate, ...indices.flatMap((i) => [axis.values[i], axis.low?.[i], axis.high?.[i]])]
      .filter((value) => value !== null && value !== undefined).map((value) => chart.place(axis, value));
    if (!ends.length) return [0, 1];
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    if (axis.id === "rank") return [0, high + 1];
    // On paper the chart is low, its bubbles are not.
    const room = (high - low || Math.abs(high) || 1) * (page.printing() && chart.data.y.includes(axis) ? 0.13 : 0.09);
    if (axis.log || axis.better === "high") return [low - room, high + room];
    return [0, high * 1.06];
  },

  /** Ranges that frame ranked networks and baselines, or all networks if asked for or if none is ranked. */
  framed(x, y) {
    const drawn = chart.shown(x, y);
    const chief = drawn.filter((i) => chart.data.networks[i].kind !== "unranked");
    const inside = (range, axis, i) => range[0] <= chart.place(axis, axis.values[i]) && chart.place(axis, axis.values[i]) <= range[1];
    const tight = { x: chart.range(x, chief), y: chart.range(y, chief) };
    const outside = chief.length ? drawn.filter((i) => !inside(tight.x, x, i) || !inside(tight.y, y, i)).length : 0;
    page.byId("outliers").hidden = !outside;
    page.byId("outliers").lastElementChild.textContent = `${outside} outside the frame, show ${outside === 1 ? "it" : "them"}`;
    return outside === 0 || page.byId("chart-all").checked || !chief.length
      ? { x: chart.range(x, drawn), y: chart.range(y, drawn) } : tight;
  },

  draw() {
    const [x, y] = [chart.axis("x"), chart.axis("y")];
    const traces = [chart.front(x, y), ...chart.kinds.flatMap((kind) => {
      const bubbles = chart.bubbles(kind, x, y);
      return bubbles.x.length ? [bubbles, chart.mark(kind)] : [];
    })];
    const gate = y.gate === null ? [] : [{
      type: "line", xref: "paper", x0: 0, x1: 1, y0: y.gate, y1: y.gate,
      line: { color: page.colour("muted"), width: 1.2, dash: "dot" },
    }];
    const ranges = chart.framed(x, y);
    const layout = page.layout({
      xaxis: {
        title: { text: page.plain(page.brief(x.label, 50)) }, type: x.log ? "log" : "linear", range: ranges.x,
        ...(x.log ? { tickvals: chart.ticks(ranges.x), tickformat: "~g" } : {}),
      },
      yaxis: { title: { text: page.plain(page.brief(y.label, 40)) }, range: ranges.y },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      margin: { l: 60, r: 16, t: 40, b: 52 }, shapes: gate, hovermode: "closest", annotations: [],
      ...page.size(page.narrow() ? 400 : 460),
    });
    delete layout.axis;
    Plotly.react("chart", traces.filter((trace) => trace.x.length), layout, page.config());
    Plotly.relayout("chart", { annotations: chart.names(x, y) });
    if (!chart.drawn) page.byId("chart").dispatchEvent(new Event("drawn"));
    chart.drawn = true;
  },

  read() {
    for (const name of ["x", "y"]) {
      const index = chart.data[name].findIndex((axis) => axis.id === state.get(name));
      page.byId(`chart-${name}`).selectedIndex = Math.max(0, index);
    }
    page.byId("chart-all").checked = state.get("all") !== null;
    if (chart.drawn) chart.draw();
  },

  store() {
    const axis = (name) => page.byId(`chart-${name}`).selectedIndex ? chart.axis(name).id : null;
    state.set({ x: axis("x"), y: axis("y"), all: page.byId("chart-all").checked ? "1" : null });
    chart.draw();
  },

  start() {
    page.byId("chart-all").addEventListener("change", chart.store);
    for (const name of ["x", "y"]) {
      const select = page.byId(`chart-${name}`);
      select.append(...chart.data[name].map((axis) => page.make("option", { textContent: axis.label })));
      select.addEventListener("change", chart.store);
    }
    if (!chart.data.x.length || !chart.data.y.length) {
      page.byId("chart").replaceWith(page.make("p", { className: "note", textContent: "No network here was both timed and counted." }));
      return;
    }
    page.drawings.push(chart.draw);
    page.byId("chart").addEventListener("drawn", () => page.byId("chart").on("plotly_click", ({ points }) => {
      const index = points.map((point) => point.customdata).find((found) => found !== undefined);
      if (index !== undefined) network.choose(index);
    }), { once: true });
    addEventListener("filtered", () => { if (chart.drawn) chart.draw(); });
    addEventListener("chosen", ({ detail }) => { chart.chosen = detail; if (chart.drawn) chart.draw(); });
    state.readers.push(chart.read);
  },
};

const correlation = {
  trace(found, name, symbol, colour, shift) {
    const bounds = found.map((one) => one[`${name}_interval`]);
    return {
      type: "scatter", mode: "markers", name: name === "spearman" ? "Spearman" : "Kendall",
      x: found.map((one) => one[name]), y: found.map((_, i) => found.length - 1 - i + shift),
      marker: { color: page.colour(colour), size: 9, symbol },
      error_x: {
        type: "data", symmetric: false, color: page.colour(colour), thickness: 1.5, width: 4,
        array: found.map((one, i) => bounds[i] ? bounds[i].high - one[name] : 0),
        arrayminus: found.map((one, i) => bounds[i] ? one[name] - bounds[i].low : 0),
      },
      hoverinfo: "text",
      hovertext: found.map((one) => `${page.plain(one.label)}: ${one[name].toFixed(2)}`),
    };
  },

  draw() {
    const found = page.json("correlation-data");
    const layout = page.layout({
      xaxis: { range: [-1.05, 1.05], dtick: 0.5, zeroline: true, zerolinecolor: page.colour("muted") },
      yaxis: {
        tickvals: found.map((_, i) => found.length - 1 - i), ticktext: found.map((one) => page.plain(one.label)),
        range: [-0.6, found.length - 0.4], zeroline: false, showgrid: false,
      },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { l: 8, r: 12, t: 30, b: 32 },
      ...page.size(300), ...(page.printing() ? { width: 460 } : {}),
    });
    delete layout.axis;
    Plotly.react("correlation", [
      correlation.trace(found, "spearman", "circle", "ranked", 0.13),
      correlation.trace(found, "kendall", "diamond", "baseline", -0.13),
    ], layout, page.config(true));
  },
};

chart.start();
if (page.byId("correlation")) page.drawings.push(correlation.draw);
