// The window on M: drag a window over x, and see its row of M, its column of im2col, and its cell of y.
(() => {
  "use strict";
  const {element, svg, number, mount, grid} = window.FCN_TOUCH;
  const SIZE = 5;
  const X = Array.from({length: SIZE}, (_, i) => Array.from({length: SIZE}, (_, j) => (3 * i + 5 * j) % 7));

  // The numbers, apart from how they are drawn.
  function compute({kernel: k, stride: s, padding: p}) {
    const out = Math.floor((SIZE + 2 * p - k) / s) + 1;
    const weight = (a, b) => a * k + b + 1;
    const at = (i, j) => (i < 0 || j < 0 || i >= SIZE || j >= SIZE ? 0 : X[i][j]);
    const matrix = [], columns = Array.from({length: k * k}, () => []), y = [];
    for (let i = 0; i < out; i++) for (let j = 0; j < out; j++) {
      const row = Array(SIZE * SIZE).fill(0);
      let sum = 0;
      for (let a = 0; a < k; a++) for (let b = 0; b < k; b++) {
        const r = i * s - p + a, q = j * s - p + b;
        if (r >= 0 && q >= 0 && r < SIZE && q < SIZE) row[r * SIZE + q] = weight(a, b);
        columns[a * k + b].push(at(r, q));
        sum += weight(a, b) * at(r, q);
      }
      matrix.push(row); y.push(sum);
    }
    return {out, matrix, columns, y};
  }

  mount("window", ({place, controls, stage, say}) => {
    const state = {kernel: 3, stride: 1, padding: 0, at: 0};
    const fields = {};
    for (const [name, value, min, max] of [["kernel", 3, 1, 4], ["stride", 1, 1, 3], ["padding", 0, 0, 2]]) {
      fields[name] = number(name, value, min, max, n => { state[name] = n; state.at = 0; draw(); });
      controls.append(fields[name].node);
    }
    const back = element("button", {type: "button", textContent: "Previous window"});
    const forth = element("button", {type: "button", textContent: "Next window"});
    back.onclick = () => move(-1);
    forth.onclick = () => move(1);
    controls.append(back, forth);

    function move(by) {
      const {out} = compute(state);
      state.at = (state.at + by + out * out) % (out * out);
      draw();
    }

    function draw() {
      const {kernel: k, stride: s, padding: p} = state;
      const {out, matrix, columns, y} = compute(state);
      const i = Math.floor(state.at / out), j = state.at % out;
      const side = 26, small = Math.min(18, 330 / Math.max(out * out, 12));
      const width = SIZE + 2 * p;
      const picture = svg("svg", {viewBox: "0 0 720 400", role: "img", tabindex: 0, class: "touch-svg",
        "aria-label": "A window on x, with its row of the matrix M, its column of im2col and its cell of y. Arrow keys move the window."});
      const title = (words, x, yy) => picture.append(svg("text", {x, y: yy, class: "touch-title"}, words));

      title(p ? "x, with its padding" : "x", 0, 14);
      const xs = grid(width, width, side, {y: 22});
      for (let r = 0; r < width; r++) for (let q = 0; q < width; q++) {
        const inside = r >= p && q >= p && r < SIZE + p && q < SIZE + p;
        xs.cells[r][q].set(inside ? X[r - p][q - p] : 0, inside ? "" : "padding");
      }
      const frame = svg("rect", {x: j * s * side, y: 22 + i * s * side, width: k * side, height: k * side, class: "window"});
      picture.append(xs.group, frame);

      title("y", 0, 290);
      const ys = grid(out, out, side, {y: 298, font: 0.36});
      y.forEach((value, n) => ys.cells[Math.floor(n / out)][n % out].set(value, n === state.at ? "on" : ""));
      picture.append(ys.group);

      title(`M: ${out * out} rows, one per cell of y; ${SIZE * SIZE} columns, one per pixel of x`, 260, 14);
      const ms = grid(out * out, SIZE * SIZE, small, {x: 260, y: 22});
      matrix.forEach((row, n) => row.forEach((value, m) => ms.cells[n][m].set(
        value && small > 10 ? value : "", `${value ? "weight" : ""} ${n === state.at ? "on" : ""}`)));
      picture.append(ms.group);
      const below = 22 + out * out * small + 24;
      title(`im2col(x): ${k * k} rows, one per weight; ${out * out} columns`, 260, below);
      const cs = grid(k * k, out * out, small, {x: 260, y: below + 8});
      columns.forEach((row, n) => row.forEach((value, m) => cs.cells[n][m].set(small > 10 ? value : "", m === state.at ? "on" : "")));
      picture.append(cs.group);
      picture.setAttribute("viewBox", `0 0 720 ${Math.max(400, below + 16 + k * k * small)}`);

      picture.addEventListener("keydown", event => {
        const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: out, ArrowUp: -out}[event.key];
        if (!step) return;
        event.preventDefault();
        move(step);
        stage.querySelector("svg").focus();
      });
      // Dragging: the window whose middle is nearest.
      const drag = event => {
        const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
        const cell = v => Math.min(out - 1, Math.max(0, Math.round((v / side - k / 2) / s)));
        if (point.x > width * side + 20 || point.y > 22 + width * side + 20) return;
        const next = cell(point.y - 22) * out + cell(point.x);
        if (next !== state.at) { state.at = next; draw(); }
      };
      picture.addEventListener("pointerdown", drag);
      picture.addEventListener("pointermove", event => { if (event.buttons) drag(event); });
      stage.replaceChildren(picture);

      const terms = columns.map((row, n) => `${n + 1} * ${row[state.at]}`).join(" + ");
      say(`Window ${state.at + 1} of ${out * out}, at row ${i}, column ${j} of y. Row ${state.at} of M holds the ` +
        `${matrix[state.at].filter(Boolean).length} weights that meet x. Column ${state.at} of im2col is ` +
        `(${columns.map(row => row[state.at]).join(", ")}). y = ${terms} = ${y[state.at]}.`);
      place.dataset.state = JSON.stringify({...state, out, row: matrix[state.at], column: columns.map(r => r[state.at]), y: y[state.at]});
    }
    draw();
  });
})();
