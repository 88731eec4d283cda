"use strict";
// A part of an image as LR, bicubic, both networks' and HR: two of them under a slider, all of them below.

const crops = {
  source: (id) => page.byId(`image-${id}`).textContent,

  label(panel, details) {
    const names = { lr: "LR", bicubic: "bicubic", hr: "HR", ...details.roles };
    return names[panel.role];
  },

  image: (panel, details, className = "") => page.make("img", {
    src: crops.source(panel.id), alt: crops.label(panel, details), className, draggable: false,
  }),

  /** The slider over one crop; `left` and `right` are indices of its panels. */
  stage(crop, details, left, right) {
    const [before, after] = [crop.panels[left], crop.panels[right]];
    const stage = page.make("div", { className: "stage" },
      crops.image(after, details), crops.image(before, details, "over"), page.make("i", { className: "edge" }),
      page.make("span", { className: "left", textContent: crops.label(before, details) }),
      page.make("span", { className: "right", textContent: crops.label(after, details) }));
    stage.style.setProperty("--shape", `${crop.side[1]} / ${crop.side[0]}`);
    const range = page.make("input", { type: "range", min: 0, max: 100, value: 50, id: "slider" });
    range.setAttribute("aria-label", "share of the left picture that is shown");
    const move = () => stage.style.setProperty("--at", `${range.value}%`);
    range.addEventListener("input", move);
    const drag = (event) => {
      const box = stage.getBoundingClientRect();
      range.value = Math.round(100 * (event.clientX - box.left) / box.width);
      move();
    };
    stage.addEventListener("pointerdown", drag);
    stage.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
    move();
    return page.make("div", {}, stage, range);
  },

  panels: (crop, details) => page.make("div", { className: "panels" }, ...crop.panels.map((panel) =>
    page.make("figure", {}, crops.image(panel, details), page.make("figcaption", {},
      page.make("b", { textContent: crops.label(panel, details) }),
      panel.psnr === null ? "" : `${panel.psnr.toFixed(2)} dB`)))),

  choice(label, id, names, chosen) {
    const select = page.make("select", { id }, ...names.map((name) => page.make("option", { textContent: name })));
    select.selectedIndex = chosen;
    return [page.make("label", {}, `${label} `, select), select];
  },

  /** The section on a network's pictures. */
  section(details) {
    const view = page.make("div", { className: "compare" });
    const [imageLabel, image] = crops.choice("image", "crop-image",
      details.crops.map((crop) => details.images[crop.image]?.[0] ?? String(crop.image)), 0);
    const names = details.crops[0].panels.map((panel) => crops.label(panel, details));
    const at = (role) => details.crops[0].panels.findIndex((panel) => panel.role === role);
    const own = Math.max(at(details.role), 0);
    const [leftLabel, left] = crops.choice("left", "crop-left", names, Math.max(at("bicubic"), 0));
    const [rightLabel, right] = crops.choice("right", "crop-right", names, own);
    const show = () => {
      const crop = details.crops[image.selectedIndex];
      const last = crop.panels.length - 1;
      view.replaceChildren(
        crops.stage(crop, details, Math.min(left.selectedIndex, last), Math.min(right.selectedIndex, last)),
        crops.panels(crop, details));
    };
    [image, left, right].forEach((select) => select.addEventListener("change", show));
    show();
    return page.make("div", {}, page.make("div", { className: "controls" }, imageLabel, leftLabel, rightLabel), view,
      page.make("p", { className: "caption", textContent: "The part of each image where bicubic errs most, and RGB PSNR within it." }));
  },
};
