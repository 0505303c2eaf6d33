// What the figures to touch share: small builders of SVG and of controls.
window.FCN_TOUCH = (() => {
  "use strict";
  const NS = "http://www.w3.org/2000/svg";

  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties))
      if (name in made) made[name] = value; else made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // A labeled whole number: a number field, which arrow keys move.
  function number(label, value, min, max, changed) {
    const field = element("input", {type: "number", value, min, max, step: 1});
    field.addEventListener("input", () => {
      const n = Math.round(Number(field.value));
      if (field.value !== "" && n >= min && n <= max) changed(n);
    });
    return {node: element("label", {}, `${label} `, field), field};
  }

  function choice(label, options, value, changed) {
    const field = element("select");
    for (const [name, words] of Object.entries(options)) field.append(element("option", {value: name, textContent: words}));
    field.value = value;
    field.addEventListener("change", () => changed(field.value));
    return {node: element("label", {}, `${label} `, field), field};
  }

  // Replace the still of a figure by the figure itself.
  function mount(name, build) {
    for (const place of document.querySelectorAll(`.touch[data-figure="${name}"]`)) {
      const controls = element("div", {className: "touch-controls"});
      const stage = element("div", {className: "touch-stage"});
      const words = element("p", {className: "touch-words"});
      words.setAttribute("aria-live", "polite");
      place.replaceChildren(controls, stage, words);
      place.setAttribute("role", "group");
      build({place, controls, stage, say: text => { words.textContent = text; }});
    }
  }

  // A grid of numbers; returns the cells' rectangles and texts, row by row.
  function grid(rows, columns, side, {x = 0, y = 0, font = 0.42} = {}) {
    const group = svg("g", {transform: `translate(${x} ${y})`});
    const cells = [];
    for (let i = 0; i < rows; i++) {
      cells.push([]);
      for (let j = 0; j < columns; j++) {
        const box = svg("rect", {x: j * side, y: i * side, width: side, height: side, class: "cell"});
        const text = svg("text", {x: (j + 0.5) * side, y: (i + 0.5) * side, "font-size": side * font, class: "cell-text"});
        group.append(box, text);
        cells[i].push({box, text, set(value, cls = "") { text.textContent = value; box.setAttribute("class", `cell ${cls}`); }});
      }
    }
    return {group, cells};
  }

  return {element, svg, number, choice, mount, grid};
})();
