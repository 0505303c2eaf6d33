// A pixel looks back: click a pixel, and see what each stream gave to its scores and what it depends on.
(() => {
  "use strict";
  const {element, mount} = window.FCN_TOUCH;
  const assets = new URL("../", document.querySelector("script[src$='touch/pixel.js']").src);
  const COLORS = ["#D55E00", "#009E73", "#0072B2"];
  const SCALE = 2.5;

  mount("pixel", async ({place, controls, stage, say}) => {
    say("Loading ...");
    let info, data;
    try {
      info = await (await fetch(new URL("pixel.json", assets))).json();
      data = await (await fetch(new URL("pixel.bin", assets))).arrayBuffer();
    } catch {
      say("The numbers of this figure could not be loaded.");
      return;
    }
    const {size, classes, streams, fields, step, colors} = info, K = classes.length;
    const values = new Float32Array(data, 0, streams.length * K * size * size);
    const image = new Uint8Array(data, values.byteLength, 3 * size * size);
    const influence = new Uint8Array(data, values.byteLength + image.byteLength);
    const half = size / 2, across = size / step;
    const state = {row: 80, column: 52};
    const gave = (t, k, row, column) => values[((t * K + k) * size + row) * size + column];
    const scores = (row, column) => classes.map((_, k) => streams.reduce((sum, _, t) => sum + gave(t, k, row, column), 0));

    const canvases = ["image", "influence", "labels"].map(name => {
      const canvas = element("canvas", {width: size * SCALE, height: size * SCALE, className: "touch-canvas"});
      canvas.setAttribute("aria-label", {image: "The image. Arrow keys move the pixel, with Shift by 8.",
        influence: "What the pixel's largest score depends on", labels: "The predicted classes"}[name]);
      canvas.setAttribute("role", "img");
      const figure = element("figure", {}, canvas, element("figcaption", {textContent:
        {image: "the image and the streams' receptive fields", influence: "the gradient of the pixel's largest score", labels: "predicted classes"}[name]}));
      stage.append(figure);
      return canvas;
    });
    const rows = element("div", {className: "touch-table"});
    stage.append(rows);
    const fieldsOf = {};
    for (const [name, key] of [["row", "row"], ["column", "column"]]) {
      const input = element("input", {type: "number", min: 0, max: size - 1, value: state[key]});
      input.addEventListener("input", () => {
        const n = Math.round(Number(input.value));
        if (input.value !== "" && n >= 0 && n < size) { state[key] = n; draw(); }
      });
      fieldsOf[key] = input;
      controls.append(element("label", {}, `${name} `, input));
    }
    canvases[0].tabIndex = 0;
    canvases[0].addEventListener("keydown", event => {
      const move = {ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0]}[event.key];
      if (!move) return;
      event.preventDefault();
      go(state.row + move[0] * (event.shiftKey ? 8 : 1), state.column + move[1] * (event.shiftKey ? 8 : 1));
    });
    for (const canvas of canvases) {
      const pick = event => {
        const box = canvas.getBoundingClientRect();
        go(Math.floor((event.clientY - box.top) / box.height * size), Math.floor((event.clientX - box.left) / box.width * size));
      };
      canvas.addEventListener("pointerdown", pick);
      canvas.addEventListener("pointermove", event => { if (event.buttons) pick(event); });
    }

    function go(row, column) {
      state.row = Math.min(size - 1, Math.max(0, row));
      state.column = Math.min(size - 1, Math.max(0, column));
      fieldsOf.row.value = state.row;
      fieldsOf.column.value = state.column;
      draw();
    }

    function paint(canvas, side, color) {
      const small = element("canvas", {width: side, height: side});
      const pixels = new ImageData(side, side);
      for (let n = 0; n < side * side; n++) pixels.data.set([...color(n), 255], 4 * n);
      small.getContext("2d").putImageData(pixels, 0, 0);
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
      return context;
    }

    function cross(context) {
      const x = (state.column + 0.5) * SCALE, y = (state.row + 0.5) * SCALE;
      for (const [color, width] of [["#fff", 4], ["#000", 1.5]]) {
        context.strokeStyle = color; context.lineWidth = width;
        context.beginPath(); context.moveTo(x - 8, y); context.lineTo(x + 8, y); context.moveTo(x, y - 8); context.lineTo(x, y + 8); context.stroke();
      }
    }

    const predicted = new Uint8Array(size * size);
    for (let n = 0; n < size * size; n++) {
      const s = scores(Math.floor(n / size), n % size);
      predicted[n] = s.indexOf(Math.max(...s));
    }

    function draw() {
      const {row, column} = state;
      let context = paint(canvases[0], size, n => [0, 1, 2].map(c => image[c * size * size + n]));
      fields.forEach((field, t) => {
        // Fields repeat every `period` pixels.
        const span = (spans, at) => { const p = spans.length, turn = Math.floor(at / p) * p; return spans[at % p].map(v => v + turn); };
        const [top, bottom] = span(field.rows, row), [left, right] = span(field.columns, column);
        const clip = v => Math.min(size, Math.max(0, v));
        context.strokeStyle = COLORS[t]; context.lineWidth = 3;
        context.strokeRect(clip(left) * SCALE, clip(top) * SCALE, (clip(right + 1) - clip(left)) * SCALE, (clip(bottom + 1) - clip(top)) * SCALE);
      });
      cross(context);
      const near = Math.floor(row / step) * across + Math.floor(column / step);
      context = paint(canvases[1], half, n => { const v = influence[near * half * half + n]; return [v, v, v]; });
      cross(context);
      context = paint(canvases[2], size, n => colors[predicted[n]]);
      cross(context);

      const s = scores(row, column);
      const order = classes.map((_, k) => k).sort((a, b) => s[b] - s[a]);
      const head = element("tr", {}, ...["class", ...streams, "score"].map(words => element("th", {scope: "col", textContent: words})));
      const body = order.map(k => element("tr", {}, element("th", {scope: "row", textContent: classes[k]}),
        ...streams.map((_, t) => element("td", {textContent: gave(t, k, row, column).toFixed(2)})), element("td", {textContent: s[k].toFixed(2)})));
      rows.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
      const margins = streams.map((name, t) => `${name} ${(gave(t, order[0], row, column) - gave(t, order[1], row, column)).toFixed(2)}`);
      say(`Row ${row}, column ${column}: ${classes[order[0]]}, ahead of ${classes[order[1]]} by ${(s[order[0]] - s[order[1]]).toFixed(2)}: ` +
        `${margins.join(", ")}. The gradient is that of the nearest of ${across * across} pixels, ${step} apart.`);
      place.dataset.state = JSON.stringify({row, column, scores: s, streams: streams.map((_, t) => classes.map((_, k) => gave(t, k, row, column)))});
    }
    draw();
  });
})();
