// Python in a web worker: loads Pyodide and the package, then runs one block of code after another.
let begin, python, queue = Promise.resolve();
const loaded = new Set();
const GO = `
import os, sys, traceback
os.environ["MPLBACKEND"] = "agg"
os.makedirs("/page/figures", exist_ok=True)
os.chdir("/page")
namespace = {"__name__": "__main__"}

def go(code):
    """Run a block; return what is missing, "failed", or ""."""
    try:
        exec(compile(code, "page", "exec"), namespace)
        return ""
    except ModuleNotFoundError as error:
        if error.name in ("scipy", "matplotlib", "PIL"):
            return error.name
        traceback.print_exc()
    except BaseException as error:
        # Only the reader's own lines matter.
        lines = traceback.format_exception(error)
        print("".join(line for line in lines if "in go" not in line), file=sys.stderr, end="")
    finally:
        sys.stdout.flush()  # a last line without an end
    return "failed"
`;
const PACKAGE_OF = {scipy: ["scipy"], matplotlib: ["matplotlib", "pillow"], PIL: ["pillow"]};
// What a block needs besides NumPy: asking before it runs is better than running it twice.
const NEEDS = [
  [/\bscipy\b|conv_matrix|upper_bounds|by_matrix|inversion_error|\btrain\b|train_|cli import/, ["scipy"]],
  [/matplotlib|plotting|draw_|save_animation|plt\.|cli import|convergence/, ["matplotlib", "pillow"]],
  [/read_image|write_image|read_mask|\bPIL\b|score_image|from_file|Folder|photos\//, ["pillow"]],
];

async function load(names, say) {
  const missing = names.filter(name => !loaded.has(name));
  if (!missing.length) return;
  say(`Loading ${missing.join(", ")} ...`);
  await python.loadPackage(missing, {messageCallback: () => {}});
  missing.forEach(name => loaded.add(name));
}

async function unpack(name, say) {
  if (loaded.has(name)) return;
  say(`Loading ${name} ...`);
  const answer = await fetch(new URL(`${name}.zip`, begin.assets));
  python.unpackArchive(await answer.arrayBuffer(), "zip", {extractDir: "/page"});
  loaded.add(name);
}

async function prepare(say) {
  if (python) return;
  const size = begin.megabytes;
  say(`Loading Python, ${size.python} MB, and NumPy, ${size.numpy} MB ...`);
  const {loadPyodide} = await import(new URL("pyodide.mjs", begin.runtime).href);
  python = await loadPyodide({indexURL: begin.runtime});
  await load(["numpy"], say);
  await python.loadPackage(new URL(begin.wheel, begin.assets).href, {messageCallback: () => {}, checkIntegrity: false});
  python.runPython(GO);
}

const folder = "/page/figures";
function figures() {
  return Object.fromEntries(python.FS.readdir(folder).slice(2).map(
    name => [name, python.FS.stat(`${folder}/${name}`).mtime.getTime()]));
}

async function run({id, code}) {
  const say = text => self.postMessage({kind: "say", id, text});
  let text = "";
  try {
    await prepare(say);
    for (const [words, names] of NEEDS) if (words.test(code)) await load(names, say);
    if (/weights\//.test(code)) await unpack("course", say);
    if (/photos\//.test(code)) await unpack("photos", say);
    const decoder = new TextDecoder();
    const write = bytes => {
      const part = decoder.decode(bytes, {stream: true});
      text += part;
      self.postMessage({kind: "print", id, text: part});
      return bytes.length;
    };
    python.setStdout({write});
    python.setStderr({write});
    say("Running ...");
    const before = figures(), go = python.globals.get("go");
    let result = go(code);
    while (PACKAGE_OF[result] && !PACKAGE_OF[result].every(name => loaded.has(name))) {
      await load(PACKAGE_OF[result], say);
      text = "";
      result = go(code);
    }
    const now = figures();
    const files = Object.keys(now).filter(name => before[name] !== now[name]).map(
      name => ({name, bytes: python.FS.readFile(`${folder}/${name}`)}));
    text = text.split("\n").map(line => line.trimEnd()).join("\n").trimEnd();
    self.postMessage({kind: "done", id, text, failed: result !== "", files});
  } catch (error) {
    self.postMessage({kind: "done", id, text: `${text}${error.message || error}`, failed: true, files: []});
  }
}

// Call a function of the namespace that returns bytes.
function call({id, name, arguments: given}) {
  try {
    const result = python.globals.get("namespace").get(name)(...given);
    const bytes = result.toJs();
    result.destroy();
    self.postMessage({kind: "done", id, bytes});
  } catch (error) {
    self.postMessage({kind: "done", id, text: String(error.message || error), failed: true});
  }
}

self.onmessage = ({data}) => {
  if (data.kind === "begin") begin = data;
  else if (data.kind === "call") queue = queue.then(() => call(data));
  else queue = queue.then(() => run(data));
};
