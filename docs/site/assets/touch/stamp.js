// The stamp: a transposed convolution paints one copy of the kernel per cell; checkerboards come and go.
(() => {
  "use strict";
  const {element, svg, number, choice, mount, grid} = window.FCN_TOUCH;
  const CELLS = 5;
  const KERNELS = {
    ones: () => 1,
    bilinear: (a, k) => 1 - Math.abs(a - (k - 1) / 2) / Math.floor((k + 1) / 2),
    uneven: (a, k) => [0.4, 1, 0.7, 0.2, 0.9, 0.6, 0.3, 0.8][a % 8],
  };

  // The upsampled map of CELLS x CELLS ones, of which the first `painted` are stamped so far.
  function compute({kernel: k, stride: s, kind, painted}) {
    const size = (CELLS - 1) * s + k;
    const line = Array.from({length: k}, (_, a) => KERNELS[kind](a, k));
    const map = Array.from({length: size}, () => Array(size).fill(0));
    for (let n = 0; n < painted; n++) {
      const i = Math.floor(n / CELLS), j = n % CELLS;
      for (let a = 0; a < k; a++) for (let b = 0; b < k; b++) map[i * s + a][j * s + b] += line[a] * line[b];
    }
    return {size, map};
  }

  // Smallest and largest value away from the border, where every cell has all its neighbors.
  function inside(map, k, s) {
    const rim = Math.max(k - s, 0), end = map.length - rim;
    const values = map.slice(rim, end).flatMap(row => row.slice(rim, end));
    return [Math.min(...values), Math.max(...values)];
  }

  mount("stamp", ({place, controls, stage, say}) => {
    const state = {kernel: 4, stride: 2, kind: "ones", painted: CELLS * CELLS};
    const kernel = number("kernel", 4, 1, 8, n => { state.kernel = n; draw(); });
    const stride = number("stride", 2, 1, 4, n => { state.stride = n; draw(); });
    const kind = choice("weights", {ones: "all 1", bilinear: "bilinear", uneven: "uneven, as if learned"}, "ones",
      value => { state.kind = value; draw(); });
    const painted = element("input", {type: "range", min: 1, max: CELLS * CELLS, value: CELLS * CELLS});
    painted.addEventListener("input", () => { state.painted = Number(painted.value); draw(); });
    controls.append(kernel.node, stride.node, kind.node, element("label", {}, "stamps painted ", painted));

    function draw() {
      const {kernel: k, stride: s} = state;
      const {size, map} = compute(state);
      const side = Math.min(22, 400 / size);
      const picture = svg("svg", {viewBox: `0 0 ${150 + size * side} ${Math.max(130, size * side + 26)}`, role: "img", class: "touch-svg",
        "aria-label": "Left, 5 x 5 cells of the value 1. Right, the upsampled map, brighter where more is painted."});
      const whole = compute({...state, painted: CELLS * CELLS}).map;
      const largest = Math.max(...whole.flat());
      picture.append(svg("text", {x: 0, y: 14, class: "touch-title"}, "x"), svg("text", {x: 140, y: 14, class: "touch-title"},
        `upsampled: ${size} x ${size}`));
      const xs = grid(CELLS, CELLS, 22, {y: 22});
      xs.cells.flat().forEach((cell, n) => cell.set(1, n < state.painted ? (n === state.painted - 1 ? "on" : "weight") : ""));
      const ys = grid(size, size, side, {x: 140, y: 22, font: 0.4});
      map.forEach((row, i) => row.forEach((value, j) => {
        const cell = ys.cells[i][j];
        cell.set(side > 15 ? (Number.isInteger(value) ? value : value.toFixed(1)) : "");
        const light = 96 - 66 * (value / largest);
        cell.box.style.fill = `hsl(213 60% ${light}%)`;
        cell.text.style.fill = light < 60 ? "#fff" : "#222";
      }));
      const n = state.painted - 1;
      const frame = svg("rect", {x: 140 + (n % CELLS) * s * side, y: 22 + Math.floor(n / CELLS) * s * side, width: k * side,
        height: k * side, class: "window"});
      picture.append(xs.group, ys.group, frame);
      stage.replaceChildren(picture);

      const [low, high] = inside(whole, k, s);
      const even = high - low < 1e-9;
      const round = v => Number(v.toFixed(3));
      say(`${state.painted} of 25 cells have painted a ${k} x ${k} stamp, ${s} cells apart. When all have, the values inside are ` +
        (even ? `${round(low)} everywhere: no checkerboard.` :
          `between ${round(low)} and ${round(high)}: ${low === 0 ? "there are gaps." : "a checkerboard."}`));
      place.dataset.state = JSON.stringify({...state, size, map, low, high});
    }
    draw();
  });
})();
