"use strict";
// Shared by the other scripts. Strings of a record are set as text, never as HTML.

const page = {
  byId: (id) => document.getElementById(id),

  /** The JSON in a script element. */
  json: (id) => JSON.parse(page.byId(id).textContent),

  /** An element with properties and children; strings become text. */
  make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  },

  /** A table whose rows become cards on a phone, where each figure stands below its column's header. */
  folding(table) {
    const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
    for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, at) => { if (at) cell.dataset.label = heads[at]; });
    table.classList.add("folding");
    return table;
  },

  /** A name cut in the middle: names often differ only at an end. */
  brief: (name, most = 28) => name.length <= most ? name : `${name.slice(0, most / 2)}…${name.slice(1 - most / 2)}`,

  /** A stranger's string for Plotly, which interprets some tags. */
  plain: (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"),

  colour: (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(),

  narrow: () => window.innerWidth <= 700 && !page.printing(),

  printing: () => "printing" in document.documentElement.dataset,

  /** A chart's size: on paper, which is measured only after charts are drawn, that of the sheet's text. */
  size: (height) => page.printing() ? { width: 940, height: Math.min(height, 340), autosize: false } : { height, autosize: true },

  /** Layout that all charts share, in the page's colours. */
  layout(more) {
    const axis = {
      gridcolor: page.colour("line"), zerolinecolor: page.colour("line"), linecolor: page.colour("line"),
      tickfont: { size: 12 }, automargin: true,
    };
    const { xaxis = {}, yaxis = {}, ...rest } = more;
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: page.colour("ink") },
      margin: { l: 56, r: 16, t: 12, b: 48 },
      hoverlabel: {
        bgcolor: page.colour("panel"), bordercolor: page.colour("line"),
        font: { color: page.colour("ink") }, align: "left",
      },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: page.colour("muted"), activecolor: page.colour("ink") },
      xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, axis,
      ...rest,
    };
  },

  /** A chart's tool bar, which would cover the legend of a narrow one; one that stands still has none. */
  config: (still = false) => ({
    responsive: !page.printing(), displaylogo: false, displayModeBar: still || page.narrow() || page.printing() ? false : "hover",
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
  }),

  /** Functions that redraw a chart in the current colours. */
  drawings: [],
  draw() { page.drawings.forEach((drawing) => drawing()); },
};

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", page.draw);
matchMedia("(max-width: 700px)").addEventListener("change", page.draw);
addEventListener("beforeprint", () => { document.documentElement.dataset.printing = ""; page.draw(); });
addEventListener("afterprint", () => { delete document.documentElement.dataset.printing; page.draw(); });
