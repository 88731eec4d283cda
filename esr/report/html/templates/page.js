"use strict";
// Shared by the scripts that follow. Strings of a record are set as text, never as HTML.

const page = {
  byId: (id) => document.getElementById(id),

  /** The JSON of a script element, parsed when it is asked for. */
  json: (id) => JSON.parse(page.byId(id).textContent),

  /** An element with properties and children; strings become text. */
  make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  },

  /** A stranger's string for Plotly, which reads some tags in texts. */
  plain: (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"),

  colour: (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(),

  narrow: () => window.innerWidth <= 700,

  /** What every chart's layout shares, in the page's colours. */
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

  /** A finger needs no tool bar: it would cover the legend. */
  config: () => ({
    responsive: true, displaylogo: false, displayModeBar: page.narrow() ? false : "hover",
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
  }),

  /** Functions that draw a chart anew, in the colours of now. */
  drawings: [],
  draw() { page.drawings.forEach((drawing) => drawing()); },
};

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", page.draw);
matchMedia("(max-width: 700px)").addEventListener("change", page.draw);
addEventListener("beforeprint", () => { document.documentElement.dataset.printing = ""; page.draw(); });
addEventListener("afterprint", () => { delete document.documentElement.dataset.printing; page.draw(); });
