// The playground: draw shapes, and three trained networks label every pixel.
(() => {
  "use strict";
  const place = document.querySelector(".play");
  const settings = window.FCN_SITE;
  if (!place || !settings) return;
  const {element} = window.FCN_TOUCH;
  const assets = new URL("./", document.querySelector("script[src$='assets/playground.js']").src);
  const SIZE = 128;
  const NETWORKS = {fcn32s: "FCN-32s", fcn16s: "FCN-16s", fcn8s: "FCN-8s"};
  const CLASSES = ["background", "circle", "square", "triangle"];
  const COLORS = [[33, 33, 33], [240, 227, 66], [87, 181, 232], [214, 94, 0]];
  const PYTHON = `
import numpy as np
from fcn_numpy.data import normalize, toy_shapes
from fcn_numpy.models import from_file

networks = {name: from_file(f"weights/{name}.npz").eval() for name in ("fcn32s", "fcn16s", "fcn8s")}
# The networks were trained on images with noise.
noise = np.random.default_rng(0).normal(0, 0.05, (3, ${SIZE}, ${SIZE})).astype(np.float32)


def segment(pixels, name):
    rgba = np.frombuffer(pixels.to_py(), np.uint8).reshape(${SIZE}, ${SIZE}, 4)
    image = rgba[..., :3].transpose(2, 0, 1).astype(np.float32) / 255
    x = normalize((image + noise).clip(0, 1)[None])
    return networks[name](x)[0].argmax(axis=0).astype(np.uint8).tobytes()


def toy(number):
    image = toy_shapes(number + 1, ${SIZE}, seed=12)[0][number]
    return (255 * image.transpose(1, 2, 0)).round().astype(np.uint8).tobytes()
`;

  // ------------------------------------------------------------------ what is on the page

  const canvas = element("canvas", {width: SIZE, height: SIZE, className: "play-canvas", tabIndex: 0});
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The image. Draw with the mouse, or add shapes with the buttons.");
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const status = element("output", {className: "run-status", textContent: "Python is loaded with the first shape " +
    `(${(settings.megabytes.python + settings.megabytes.numpy + settings.megabytes.fcn_numpy + settings.megabytes.weights).toFixed(0)} MB).`});
  status.setAttribute("aria-live", "polite");
  const outputs = {}, words = {};
  const figures = element("div", {className: "play-row"}, element("figure", {}, canvas, element("figcaption", {textContent: "your image"})));
  for (const [name, title] of Object.entries(NETWORKS)) {
    outputs[name] = element("canvas", {width: SIZE, height: SIZE, className: "play-canvas"});
    outputs[name].setAttribute("role", "img");
    outputs[name].setAttribute("aria-label", `Labels of ${title}`);
    words[name] = element("span");
    figures.append(element("figure", {}, outputs[name], element("figcaption", {}, `${title} `, words[name])));
  }
  const field = (label, type, value, more = {}) => {
    const input = element("input", {type, value, ...more});
    return [element("label", {}, `${label} `, input), input];
  };
  const [colorLabel, color] = field("color", "color", "#e0b020");
  const [groundLabel, ground] = field("background", "color", "#204080");
  const [rowLabel, row] = field("row", "number", 64, {min: 0, max: SIZE - 1});
  const [columnLabel, column] = field("column", "number", 64, {min: 0, max: SIZE - 1});
  const [sizeLabel, size] = field("size", "number", 56, {min: 6, max: SIZE});
  const tool = element("select");
  for (const name of ["circle", "square", "triangle", "brush"]) tool.append(element("option", {value: name, textContent: name}));
  const button = (text, act) => { const b = element("button", {type: "button", textContent: text}); b.onclick = act; return b; };
  const file = element("input", {type: "file", accept: "image/*"});
  const legend = element("p", {className: "play-legend"});
  CLASSES.forEach((name, k) => {
    const swatch = element("span", {className: "play-swatch"});
    swatch.style.background = `rgb(${COLORS[k]})`;
    legend.append(swatch, `${name} `);
  });
  place.replaceChildren(
    element("div", {className: "touch-controls"}, element("label", {}, "draw with ", tool), colorLabel, groundLabel,
      button("Undo", undo), button("Clear", clear), button("A toy image", () => toyImage())),
    element("div", {className: "touch-controls"}, ...["circle", "square", "triangle"].map(kind =>
      button(`Add a ${kind}`, () => { remember(); shape(kind, Number(column.value), Number(row.value), Number(size.value)); changed(); })),
      rowLabel, columnLabel, sizeLabel, element("label", {}, "or an image file ", file)),
    figures, legend, status);

  // ------------------------------------------------------------------ drawing

  const history = [];
  function remember() { history.push(context.getImageData(0, 0, SIZE, SIZE)); if (history.length > 30) history.shift(); }
  function undo() { if (history.length) { context.putImageData(history.pop(), 0, 0); changed(); } }
  function clear() { remember(); context.fillStyle = ground.value; context.fillRect(0, 0, SIZE, SIZE); changed(); }
  function shape(kind, x, y, across) {
    const r = across / 2;
    context.fillStyle = color.value;
    context.beginPath();
    if (kind === "circle") context.arc(x, y, r, 0, 2 * Math.PI);
    else if (kind === "square") context.rect(x - r, y - r, across, across);
    else for (let n = 0; n < 3; n++) context.lineTo(x + r * Math.sin(2 * Math.PI * n / 3), y - r * Math.cos(2 * Math.PI * n / 3));
    context.fill();
  }

  let from = null, before = null;
  const point = event => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * SIZE, (event.clientY - box.top) / box.height * SIZE];
  };
  canvas.addEventListener("pointerdown", event => {
    remember();
    before = history.at(-1);
    from = point(event);
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
  });
  canvas.addEventListener("pointermove", event => { if (from) stroke(event); });
  canvas.addEventListener("pointerup", () => { from = null; });
  function stroke(event) {
    const [x, y] = point(event);
    if (tool.value === "brush") {
      context.strokeStyle = color.value; context.lineWidth = 8; context.lineCap = "round";
      context.beginPath(); context.moveTo(...from); context.lineTo(x, y); context.stroke();
      from = [x, y];
    } else {
      // The further one drags, the larger the shape.
      context.putImageData(before, 0, 0);
      shape(tool.value, ...from, Math.max(12, 2 * Math.hypot(x - from[0], y - from[1])));
    }
    changed();
  }
  async function load(blob) {
    try {
      const image = await createImageBitmap(blob);
      remember();
      const scale = Math.max(SIZE / image.width, SIZE / image.height);
      context.drawImage(image, (SIZE - image.width * scale) / 2, (SIZE - image.height * scale) / 2, image.width * scale, image.height * scale);
      changed();
    } catch { status.textContent = "This file is not an image that the browser can read."; }
  }
  file.addEventListener("change", () => { if (file.files.length) load(file.files[0]); });
  canvas.addEventListener("dragover", event => event.preventDefault());
  canvas.addEventListener("drop", event => { event.preventDefault(); if (event.dataTransfer.files.length) load(event.dataTransfer.files[0]); });

  // ------------------------------------------------------------------ the networks

  let worker = null, next = 0, dirty = false, running = false, toys = 0;
  const waiting = new Map();
  function ask(message) {
    if (!worker) {
      worker = new Worker(new URL("worker.mjs", assets), {type: "module"});
      worker.onmessage = ({data}) => {
        if (data.kind === "say") status.textContent = data.text;
        else if (data.kind === "done") { waiting.get(data.id)(data); waiting.delete(data.id); }
      };
      worker.onerror = () => { status.textContent = "Python could not be loaded: is the network down?"; };
      worker.postMessage({kind: "begin", runtime: new URL(settings.runtime, assets).href, assets: assets.href, wheel: settings.wheel,
        megabytes: settings.megabytes});
      ask({kind: "run", code: PYTHON});
    }
    return new Promise(done => { const id = next++; waiting.set(id, done); worker.postMessage({...message, id}); });
  }

  function changed() { dirty = true; if (!running) segment(); }
  async function segment() {
    running = true;
    while (dirty) {
      dirty = false;
      const pixels = context.getImageData(0, 0, SIZE, SIZE).data, begin = performance.now();
      for (const name of ["fcn8s", "fcn16s", "fcn32s"]) {
        const answer = await ask({kind: "call", name: "segment", arguments: [pixels, name]});
        if (answer.failed) { status.textContent = answer.text; running = false; return; }
        show(name, answer.bytes);
        if (dirty && name === "fcn8s") break;  // what is drawn has changed: the sharpest network first
      }
      if (!dirty) status.textContent = `All three networks in ${((performance.now() - begin) / 1000).toFixed(2)} s.`;
    }
    running = false;
  }
  function show(name, labels) {
    const pixels = new ImageData(SIZE, SIZE), counts = Array(CLASSES.length).fill(0);
    labels.forEach((k, n) => { pixels.data.set([...COLORS[k], 255], 4 * n); counts[k]++; });
    outputs[name].getContext("2d").putImageData(pixels, 0, 0);
    const found = CLASSES.map((c, k) => [c, Math.round(100 * counts[k] / labels.length)]).filter(([, share]) => share > 0);
    words[name].textContent = found.map(([c, share]) => `${c} ${share}%`).join(", ");
    outputs[name].dataset.counts = JSON.stringify(counts);
  }
  async function toyImage() {
    const answer = await ask({kind: "call", name: "toy", arguments: [toys++ % 30]});
    if (answer.failed) return;
    remember();
    const pixels = new ImageData(SIZE, SIZE);
    for (let n = 0; n < SIZE * SIZE; n++) pixels.data.set([...answer.bytes.slice(3 * n, 3 * n + 3), 255], 4 * n);
    context.putImageData(pixels, 0, 0);
    changed();
  }

  context.fillStyle = ground.value;
  context.fillRect(0, 0, SIZE, SIZE);
})();
