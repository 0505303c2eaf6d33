// Run buttons: every Python block of a page can be edited and run, in order, in a web worker.
(() => {
  "use strict";
  const settings = window.FCN_SITE;
  const page = location.pathname.replace(/\/(index\.html)?$/, "").split("/").pop();
  const blocks = [...document.querySelectorAll(".language-python.highlight")];
  if (!settings || !/\/tutorials\//.test(location.pathname) || !blocks.length) return;
  const assets = new URL("./", document.querySelector("script[src$='assets/run.js']").src);
  const SHORT = /^(\s*[\w, ]+ = ).*?(  # short: )(.*)$/gm;

  let worker = null, waiting = new Map(), next = 0, busy = false, stopped = 0;
  const cells = blocks.map((block, i) => makeCell(block, i));
  const bar = makeBar();

  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // ------------------------------------------------------------------ the page

  function makeBar() {
    const size = settings.megabytes;
    const short = blocks.some(b => /  # short: /.test(b.textContent));
    const words = element("p", {textContent:
      `You can edit and run the code on this page. Python runs in your browser; the first run loads ` +
      `${(size.python + size.numpy + size.fcn_numpy).toFixed(0)} MB, and ` +
      `${size.matplotlib.toFixed(0)} MB more for figures` +
      (settings.large[page] ? `. One network on this page needs ${settings.large[page]} GB of memory` : "") +
      "."});
    const all = element("button", {type: "button", className: "md-button", textContent: "Run all"});
    const stop = element("button", {type: "button", className: "md-button", textContent: "Stop", disabled: true});
    const reset = element("button", {type: "button", className: "md-button", textContent: "Reset page"});
    const status = element("output", {className: "run-status"});
    status.setAttribute("aria-live", "polite");
    all.onclick = () => runUpTo(cells.length - 1, true);
    stop.onclick = stopAll;
    reset.onclick = resetAll;
    const made = element("div", {className: "run-bar"}, words);
    let shortBox = null;
    if (short) {
      shortBox = element("input", {type: "checkbox", checked: true});
      made.append(element("label", {}, shortBox,
        " Short training: a few steps instead of minutes, so numbers and figures differ from the page's."));
    }
    made.append(element("div", {className: "run-buttons"}, all, stop, reset), status);
    const heading = document.querySelector("article h1, .md-content h1");
    heading.after(made);
    return {stop, status, short: () => shortBox !== null && shortBox.checked, say: text => status.textContent = text};
  }

  function makeCell(block, index) {
    const code = block.querySelector("code");
    const original = code.innerHTML;
    code.contentEditable = "plaintext-only";
    code.spellcheck = false;
    code.setAttribute("role", "textbox");
    code.setAttribute("aria-multiline", "true");
    code.setAttribute("aria-label", `Python code, block ${index + 1}`);
    code.addEventListener("keydown", event => {
      if (event.key === "Enter" && (event.ctrlKey || event.shiftKey)) { event.preventDefault(); runUpTo(index); }
    });
    const run = element("button", {type: "button", className: "md-button run", textContent: "Run"});
    const above = element("button", {type: "button", className: "md-button run", textContent: "Run all above"});
    const undo = element("button", {type: "button", className: "md-button run", textContent: "Reset", hidden: true});
    const out = element("div", {className: "run-out", hidden: true});
    out.setAttribute("aria-live", "polite");
    out.setAttribute("role", "region");
    out.setAttribute("aria-label", `Output of block ${index + 1}`);
    run.setAttribute("aria-label", `Run block ${index + 1}`);
    above.setAttribute("aria-label", `Run all blocks above block ${index + 1}`);
    const tools = element("div", {className: "run-tools"}, run);
    if (index > 0) tools.append(above);
    tools.append(undo);
    // What the page says the block prints follows it directly.
    let shown = block.nextElementSibling;
    if (!shown || !shown.matches(".language-text.highlight")) shown = null;
    block.after(tools, out);
    const cell = {
      index, code, out, shown, ran: false,
      text: () => bar.short() ? code.textContent.replace(SHORT, "$1$3$2$3") : code.textContent,
      reset() {
        code.innerHTML = original; out.hidden = true; out.replaceChildren(); undo.hidden = true; cell.ran = false;
        if (shown) shown.hidden = false;
      },
    };
    code.addEventListener("input", () => { undo.hidden = false; cell.ran = false; });
    run.onclick = () => runUpTo(index);
    above.onclick = () => runUpTo(index - 1, true);
    undo.onclick = cell.reset;
    return cell;
  }

  // Images that have been replaced, and what they were.
  const images = new Map();

  function showFigure(name, bytes, out) {
    const url = URL.createObjectURL(new Blob([bytes], {type: name.endsWith(".gif") ? "image/gif" : "image/png"}));
    const ours = [...document.querySelectorAll("article img, .md-content img")].filter(
      image => (images.get(image) || image.src).split("/").pop() === name);
    for (const image of ours) {
      if (!images.has(image)) images.set(image, image.src);
      image.src = url;
      image.classList.add("run-figure");
    }
    if (!ours.length) out.append(element("img", {src: url, alt: `Figure ${name}, drawn by this block`}));
  }

  // ------------------------------------------------------------------ the worker

  function start() {
    worker = new Worker(new URL("worker.mjs", assets), {type: "module"});
    worker.onmessage = ({data}) => {
      const task = waiting.get(data.id);
      if (!task) return;
      if (data.kind === "done") { waiting.delete(data.id); task.done(data); } else task.say(data);
    };
    worker.onerror = event => {
      for (const task of waiting.values())
        task.done({failed: true, text: `Python could not be loaded: ${event.message || "is the network down?"}`, files: []});
      waiting.clear();
      worker = null;
    };
    worker.postMessage({kind: "begin", runtime: new URL(settings.runtime, assets).href, assets: assets.href,
      wheel: settings.wheel, megabytes: settings.megabytes});
  }

  function ask(code, say) {
    if (!worker) start();
    return new Promise(done => {
      const id = next++;
      waiting.set(id, {done, say});
      worker.postMessage({kind: "run", id, code});
    });
  }

  async function runCell(cell) {
    cell.out.hidden = false;
    cell.out.replaceChildren();
    const pre = element("pre", {});
    cell.out.append(pre);
    cell.out.classList.add("running");
    if (cell.shown) cell.shown.hidden = true;
    const answer = await ask(cell.text(), data => {
      if (data.kind === "say") bar.say(data.text);
      if (data.kind === "print") pre.textContent += data.text;
    });
    cell.out.classList.remove("running");
    pre.textContent = answer.text;
    if (!answer.text) pre.remove();
    for (const file of answer.files) showFigure(file.name, file.bytes, cell.out);
    cell.out.classList.toggle("failed", Boolean(answer.failed));
    if (!answer.text && !answer.files.length) cell.out.append(element("p", {className: "run-quiet", textContent: "It prints nothing."}));
    cell.ran = !answer.failed;
    return answer;
  }

  async function runUpTo(last, again = false) {
    if (busy) return;
    busy = true;
    bar.stop.disabled = false;
    const turn = stopped;
    const begin = performance.now();
    let failed = false;
    for (const cell of cells.slice(0, last + 1)) {
      // The blocks above have to have run, but not twice.
      if (cell.ran && cell.index < last && !again) continue;
      bar.say(`Running block ${cell.index + 1} of ${cells.length} ...`);
      const answer = await runCell(cell);
      if (turn !== stopped) break;
      if (answer.failed) { failed = true; bar.say(`Block ${cell.index + 1} failed.`); break; }
    }
    if (!failed && turn === stopped) bar.say(`Done, ${((performance.now() - begin) / 1000).toFixed(1)} s.`);
    busy = false;
    bar.stop.disabled = true;
  }

  function stopAll() {
    stopped++;
    if (worker) worker.terminate();
    worker = null;
    for (const task of waiting.values()) task.done({failed: true, text: "Stopped.", files: []});
    waiting.clear();
    for (const cell of cells) cell.ran = false;
    bar.say("Stopped. The values of all variables are gone: the next run begins with the first block.");
  }

  function resetAll() {
    stopAll();
    for (const cell of cells) cell.reset();
    for (const [image, src] of images) { image.src = src; image.classList.remove("run-figure"); }
    images.clear();
    bar.say("The page is as it was.");
  }

  window.FCN_RUN = {cells};  // for the tests
})();
