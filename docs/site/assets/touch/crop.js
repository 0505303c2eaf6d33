// The crop calculator: where the cells of each map lie on the image, and where crops have to cut.
(() => {
  "use strict";
  const {element, svg, choice, mount} = window.FCN_TOUCH;

  const conv = (name, kernel, stride = 1, padding = 0) => ({name, kind: "down", kernel, stride, padding});
  const up = (name, kernel, stride) => ({name, kind: "up", kernel, stride, padding: 0});
  function vgg(last, names) {
    const layers = [];
    [2, 2, 3, 3, 3].forEach((n, stage) => {
      for (let i = 1; i <= n; i++) layers.push(conv(`conv${stage + 1}_${i}`, 3, 1, stage === 0 && i === 1 ? 100 : 1));
      layers.push(conv(`pool${stage + 1}`, 2, 2));
    });
    return [...layers, conv("fc6", 7), ...last];
  }
  const PRESETS = {
    fcn8s: ["FCN-8s on VGG16", vgg([up("upscore2", 4, 2), up("upscore_pool4", 4, 2), up("upscore8", 16, 8)])],
    fcn16s: ["FCN-16s on VGG16", vgg([up("upscore2", 4, 2), up("upscore16", 32, 16)])],
    fcn32s: ["FCN-32s on VGG16", vgg([up("upscore", 64, 32)])],
    alexnet: ["FCN-32s on AlexNet", [conv("conv1", 11, 4, 100), conv("pool1", 3, 2), conv("conv2", 5, 1, 2), conv("pool2", 3, 2),
      conv("conv3", 3, 1, 1), conv("conv4", 3, 1, 1), conv("conv5", 3, 1, 1), conv("pool5", 3, 2), conv("fc6", 6), up("upscore", 63, 32)]],
    alexnet64: ["the same with a kernel of 64", [conv("conv1", 11, 4, 100), conv("pool1", 3, 2), conv("conv2", 5, 1, 2), conv("pool2", 3, 2),
      conv("conv3", 3, 1, 1), conv("conv4", 3, 1, 1), conv("conv5", 3, 1, 1), conv("pool5", 3, 2), conv("fc6", 6), up("upscore", 64, 32)]],
    own: ["a small network of your own", [conv("conv1", 3, 1, 9), conv("pool1", 2, 2), conv("pool2", 2, 2), conv("fc", 3), up("up2", 4, 2), up("up4", 4, 2)]],
  };

  // Scale and shift of each map, by the two lines of page 8; and the crop against an earlier map of the same scale.
  function compute(layers) {
    const maps = [{name: "image", scale: 1, shift: 0}];
    let {scale, shift} = maps[0];
    for (const layer of layers) {
      if (layer.kind === "down") {
        shift += scale * ((layer.kernel - 1) / 2 - layer.padding);
        scale *= layer.stride;
      } else {
        scale /= layer.stride;
        shift -= scale * ((layer.kernel - 1) / 2 - layer.padding);
      }
      const map = {name: layer.name, scale, shift};
      if (layer.kind === "up") {
        const target = maps.find(m => m.scale === scale && !m.up);
        map.up = true;
        if (target) {
          // The one that starts earlier is cropped.
          const cells = (shift - target.shift) / scale;
          map.target = target.name;
          map.cropped = cells >= 0 && target.name !== "image" ? target.name : layer.name;
          map.offset = map.cropped === layer.name ? -cells : cells;
          map.fits = Number.isInteger(map.offset) && map.offset >= 0;
        }
      }
      maps.push(map);
    }
    return maps;
  }

  mount("crop", ({place, controls, stage, say}) => {
    let layers = structuredClone(PRESETS.fcn8s[1]);
    const preset = choice("network", Object.fromEntries(Object.entries(PRESETS).map(([key, [words]]) => [key, words])), "fcn8s",
      value => { layers = structuredClone(PRESETS[value][1]); table(); draw(); });
    controls.append(preset.node);
    const rows = element("div", {className: "touch-table"}), lines = element("div");
    stage.append(lines, element("details", {open: false}, element("summary", {textContent: "All layers, to change"}), rows));

    function table() {
      const body = element("tbody");
      layers.forEach((layer, n) => {
        const field = (name, min, max) => {
          const input = element("input", {type: "number", value: layer[name], min, max});
          input.setAttribute("aria-label", `${name} of ${layer.name}`);
          input.addEventListener("input", () => {
            const value = Math.round(Number(input.value));
            if (input.value !== "" && value >= min && value <= max) { layer[name] = value; draw(); }
          });
          return element("td", {}, input);
        };
        const remove = element("button", {type: "button", textContent: "Remove"});
        remove.setAttribute("aria-label", `Remove ${layer.name}`);
        remove.onclick = () => { layers.splice(n, 1); table(); draw(); };
        body.append(element("tr", {}, element("th", {scope: "row", textContent: layer.name}),
          element("td", {textContent: layer.kind}), field("kernel", 1, 64), field("stride", 1, 32),
          layer.kind === "up" ? element("td") : field("padding", 0, 200),
          element("td", {className: "scale"}), element("td", {className: "shift"}), element("td", {className: "offset"}), element("td", {}, remove)));
      });
      const head = element("thead", {}, element("tr", {}, ...["layer", "kind", "kernel", "stride", "padding", "stride of the map",
        "cell 0 at pixel", "crop", "change"].map(words => element("th", {scope: "col", textContent: words}))));
      const add = (kind, words) => {
        const button = element("button", {type: "button", textContent: words});
        button.onclick = () => {
          const name = `${kind === "up" ? "up" : "layer"}${layers.length + 1}`;
          layers.push(kind === "up" ? up(name, 4, 2) : conv(name, 3, 1, 1));
          table(); draw();
        };
        return button;
      };
      rows.replaceChildren(element("table", {}, head, body), element("div", {className: "touch-controls"},
        add("down", "Add a convolution or pool"), add("up", "Add an upsampling layer")));
    }

    function draw() {
      const maps = compute(layers);
      const round = v => (Number.isInteger(v) ? v : Number(v.toFixed(3)));
      [...rows.querySelectorAll("tbody tr")].forEach((row, n) => {
        const map = maps[n + 1];
        row.querySelector(".scale").textContent = round(map.scale);
        row.querySelector(".shift").textContent = round(map.shift);
        row.querySelector(".offset").textContent = !map.up ? "" : map.offset === undefined ? "no map of this stride" :
          map.fits ? `${map.cropped} at ${map.offset}` : `${round(map.offset)}: no whole cell`;
      });

      // The first cells of the maps that matter, on a ruler of pixels.
      const kept = maps.filter((m, n) => n === 0 || m.up || n === maps.length - 1 || maps.some(o => o.target === m.name));
      const from = Math.min(-4, ...kept.map(m => m.shift)) - 4, to = Math.max(70, from + 130);
      const at = v => 120 + (v - from) / (to - from) * 590;
      const picture = svg("svg", {viewBox: `0 0 720 ${kept.length * 34 + 40}`, class: "touch-svg", role: "img",
        "aria-label": "The first cells of each map above the pixels of the image; the numbers are in the table."});
      const zero = svg("line", {x1: at(0), x2: at(0), y1: 0, y2: kept.length * 34 + 12, class: "zero"});
      picture.append(zero, svg("text", {x: at(0) + 4, y: kept.length * 34 + 26, class: "touch-small"}, "pixel 0 of the image"));
      kept.forEach((map, n) => {
        const y = n * 34 + 20;
        picture.append(svg("text", {x: 0, y: y + 4, class: "touch-small"}, map.name));
        for (let i = 0; i < 400; i++) {
          const x = map.shift + i * map.scale;
          if (x > to) break;
          const first = map.up && map.cropped === map.name && i === map.offset || maps.some(o => o.cropped === map.name && o.fits && i === o.offset);
          picture.append(svg("circle", {cx: at(x), cy: y, r: first ? 5 : map.scale > 2 ? 3 : 1.3, class: first ? "dot on" : "dot"}));
        }
      });
      lines.replaceChildren(picture);

      const crops = maps.filter(m => m.up && m.offset !== undefined);
      const bad = crops.filter(m => !m.fits);
      say(crops.length ? crops.map(m => m.fits ? `${m.name}: crop ${m.cropped} at ${m.offset}.` :
        `${m.name}: the offset would be ${round(m.offset)}, which is no whole cell from 0 on.`).join(" ") +
        (bad.length ? " Change a padding or the kernel of an upsampling layer: odd in place of even moves cells by a half." : "") :
        "No upsampled map has the stride of an earlier one, so there is nothing to crop.");
      place.dataset.state = JSON.stringify(maps);
    }
    table();
    draw();
  });
})();
