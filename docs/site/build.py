"""Build the course as a website whose code runs in the reader's browser.

    pip install '.[site]'
    python docs/site/build.py --out site
    python -m http.server --directory site

The pages are the files of this repository as they are. The site adds Run buttons, figures to touch,
and a reference made from the docstrings. Python comes from Pyodide's public server or, with
--runtime, from a folder that is copied beside the pages, so that no other server is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYODIDE = "314.0.3"
PUBLIC_RUNTIME = f"https://cdn.jsdelivr.net/pyodide/v{PYODIDE}/full/"
# What the browser loads: Python itself, then what a block needs.
CORE = (
    "pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json",
)
PACKAGES = ("numpy", "scipy", "matplotlib", "pillow")
HOME = "https://github.com/fcn-numpy/fcn_numpy/blob/main/"
TREE = "https://github.com/fcn-numpy/fcn_numpy/tree/main/"
RAW = "https://raw.githubusercontent.com/fcn-numpy/fcn_numpy/main/"
REFERENCE = {
    "convolution": ["fcn_numpy", "fcn_numpy.convolution", "fcn_numpy.window", "fcn_numpy.matrix"],
    "layers": ["fcn_numpy.nn"],
    "networks": ["fcn_numpy.models"],
    "tools": ["fcn_numpy.gradcheck", "fcn_numpy.geometry", "fcn_numpy.summary", "fcn_numpy.explain",
              "fcn_numpy.plotting"],
    "data and scores": ["fcn_numpy.data", "fcn_numpy.metrics", "fcn_numpy.prediction"],
    "training": ["fcn_numpy.training", "fcn_numpy.optim"],
    "weights": ["fcn_numpy.weights", "fcn_numpy.onnx_export"],
    "the paper's sections": ["fcn_numpy.paper"],
}
# Pages that make a network of 134 million weights, and the gigabytes that takes in a browser, where
# weights and gradients that are never touched count too.
LARGE = dict.fromkeys(
    ("00_ten_minutes", "12_the_real_fcn8s", "14_making_numpy_fast", "15_the_zoo"), 1.3
)
LINK = re.compile(r"(!?\[(?:[^\]\\]|\\.)*\]\()([^)\s]+)(\))|^(\[[^\]]+\]: )(\S+)()$", re.M)
# The figures to touch: the page, the heading before which the figure goes, its name, and what is
# there without JavaScript: a still, and a text for those who cannot see it.
FIGURES = [
    ("00_ten_minutes", "## All of it in one file", "pixel", "00_outputs.png",
     "In a browser with JavaScript you can click a pixel of the image here, and see its receptive "
     "fields, the gradient of its largest score, and what each stream contributed."),
    ("02_convolution_is_a_matrix", "## What a real layer would need", "window", "02_rows.png",
     "In a browser with JavaScript you can drag a window over x here. Its row of M, its column of "
     "im2col(x), and its cell of y light up together."),
    ("07_upsampling", "## Exercises", "stamp", "07_checkerboard.png",
     "In a browser with JavaScript you can choose kernel and stride here, and watch the stamps add "
     "up to a flat map or a checkerboard."),
    ("08_where_am_i", "## Exercises", "crop", "08_border.png",
     "In a browser with JavaScript you can change every layer here, and see where its cells lie on "
     "the image and where the crops must cut."),
    ("09_skips", "## Exercises", "pixel", "00_outputs.png",
     "In a browser with JavaScript you can click a pixel of the image here, and see what each "
     "stream contributed to its scores."),
]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Build the course as a website.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write it")
    parser.add_argument(
        "--runtime", type=Path, metavar="DIR",
        help=f"a folder with Pyodide {PYODIDE}, numpy, scipy, matplotlib and pillow, to be copied "
        "beside the pages (default: its public server)",
    )
    options = parser.parse_args()
    if options.out.exists() and not (options.out / "sitemap.xml").exists() and any(
        options.out.iterdir()
    ):
        parser.error(f"--out: {options.out} is not empty, and not a site")
    with tempfile.TemporaryDirectory() as scratch:
        stage(Path(scratch) / "docs", options.runtime)
        build(Path(scratch), options.out)
    if options.runtime:
        copy_runtime(options.runtime, options.out / "assets" / "pyodide")
    print(f"The site is in {options.out}. To read it:")
    print(f"    python -m http.server --directory {options.out}")
    return 0


def stage(docs: Path, runtime: Path | None) -> None:
    """Lay out the pages and assets of the site in a folder."""
    pages = [Path("README.md"), Path("ARCHITECTURE.md"), Path("CONTRIBUTING.md"),
             Path("CHANGELOG.md"), Path("benchmarks/README.md")]
    pages += [p.relative_to(ROOT) for folder in ("tutorials", "docs")
              for p in sorted((ROOT / folder).glob("*.md"))]
    for page in pages:
        target = docs / (Path("index.md") if page == Path("README.md") else page)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(with_site_links((ROOT / page).read_text("utf-8"), page, pages), "utf-8")
    shutil.copytree(ROOT / "tutorials" / "figures", docs / "tutorials" / "figures")
    shutil.copy(ROOT / "docs" / "predictions.png", docs / "docs")
    shutil.copytree(HERE / "assets", docs / "assets")
    for page in (HERE / "pages").glob("*.md"):
        shutil.copy(page, docs)
    for title, modules in REFERENCE.items():
        text = f"# Reference: {title}\n\n" + "".join(f"::: {module}\n\n" for module in modules)
        path = docs / "reference" / f"{title.replace(' ', '_').replace(chr(39), '')}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    data = Path(shutil.make_archive(
        str(docs / "assets" / "course"), "zip", ROOT / "tutorials", "weights"
    ))
    shutil.make_archive(str(docs / "assets" / "photos"), "zip", ROOT / "tutorials", "photos")
    draw_pixel(docs / "assets")
    wheel = make_wheel(docs / "assets")
    settings = {
        "runtime": "pyodide/" if runtime else PUBLIC_RUNTIME, "wheel": wheel.name,
        "megabytes": {**megabytes(runtime), "fcn_numpy": size_of(wheel), "weights": size_of(data)},
        "large": LARGE,
    }
    text = f"window.FCN_SITE = {json.dumps(settings)};\n"
    (docs / "assets" / "settings.js").write_text(text, "utf-8")


def with_site_links(text: str, page: Path, pages: list[Path]) -> str:
    """Return a page whose links lead to pages of the site, or else to the repository."""

    def site_link(match: re.Match) -> str:
        before, target, after = match.groups()[:3] if match[1] else match.groups()[3:]
        for home in (HOME, TREE, RAW):
            if target.startswith(home):
                target = os.path.relpath(target[len(home):] or ".", page.parent)
        if re.match(r"[a-z]+:|#", target):
            return before + target + after
        path, _, heading = target.partition("#")
        place = Path(os.path.normpath(page.parent / path))
        if place in pages or (ROOT / place).suffix in (".png", ".gif"):
            if place == Path("README.md"):
                path = os.path.relpath("index.md", page.parent)
            return before + path + (f"#{heading}" if heading else "") + after
        kind = TREE if (ROOT / place).is_dir() else HOME
        return f"{before}{kind}{place.as_posix()}{after}"

    text = LINK.sub(site_link, text).replace("<details>", '<details markdown="1">')
    for name, heading, figure, image, words in FIGURES:
        if page == Path("tutorials", f"{name}.md"):
            if text.count(f"\n{heading}\n") != 1:
                raise SystemExit(f"{page}: expected one heading {heading!r}, for a figure to touch")
            still = (
                f'<div class="touch" data-figure="{figure}" markdown="0"><p>{words}</p>'
                f'<img src="figures/{image}" alt="A still: {words}"></div>'
            )
            text = text.replace(f"\n{heading}\n", f"\n{still}\n\n{heading}\n")
    return text


def draw_pixel(folder: Path) -> None:
    """Write what the figure of a pixel that looks back shows: the numbers of `explain`."""
    import numpy as np

    from fcn_numpy.data import TOY_CLASSES, normalize, toy_shapes
    from fcn_numpy.explain import explain
    from fcn_numpy.models import from_file

    size, step = 128, 8
    model = from_file(ROOT / "tutorials" / "weights" / "fcn8s.npz")
    image = toy_shapes(37, size, seed=12)[0][36]
    x = normalize(image[None])[0]
    influences = []
    for row in range(step // 2, size, step):
        for column in range(step // 2, size, step):
            found = explain(model, x, (row, column))
            seen = np.sqrt(found.influence().reshape(size // 2, 2, size // 2, 2).mean(axis=(1, 3)))
            influences.append((255 * seen / seen.max()).astype(np.uint8))
    # A field repeats after the stride of its stream.
    spans = {
        name: [explain(model, x, (at, at)).fields[name] for at in range(period)]
        for name, period in (("score_fr", 32), ("score_pool4", 16), ("score_pool3", 8))
    }
    info = {
        "size": size, "step": step, "classes": TOY_CLASSES.names, "streams": list(found.streams),
        "colors": TOY_CLASSES.palette()[: len(TOY_CLASSES)].tolist(),
        "fields": [
            {"rows": [f.rows for f in fields], "columns": [f.columns for f in fields]}
            for fields in (spans[name] for name in found.streams)
        ],
    }
    (folder / "pixel.json").write_text(json.dumps(info), "utf-8")
    (folder / "pixel.bin").write_bytes(b"".join([
        np.array(list(found.streams.values()), "<f4").tobytes(),
        (255 * image).round().astype(np.uint8).tobytes(), np.array(influences).tobytes(),
    ]))


def make_wheel(folder: Path) -> Path:
    """Build the package as a wheel."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", scratch, ROOT],
            check=True,
        )
        wheel, = Path(scratch).glob("*.whl")
        return Path(shutil.copy(wheel, folder))


def megabytes(runtime: Path | None) -> dict[str, float]:
    """Return what the browser loads, in megabytes, as measured in a folder or known."""
    if runtime is None:  # of this version
        return {"python": 13.4, "numpy": 2.9, "scipy": 14.0, "matplotlib": 10.4}
    files = runtime_files(runtime)
    parts = {"python": CORE, **{name: tuple(files[name]) for name in PACKAGES}}
    parts["matplotlib"] += parts.pop("pillow")
    return {
        name: round(sum((runtime / file).stat().st_size for file in part) / 1e6, 1)
        for name, part in parts.items()
    }


def size_of(path: Path) -> float:
    """Return the size of a file in megabytes."""
    return round(path.stat().st_size / 1e6, 1)


def runtime_files(runtime: Path) -> dict[str, list[str]]:
    """Return the files of each package, with what it needs besides the others."""
    lock = json.loads((runtime / "pyodide-lock.json").read_text("utf-8"))["packages"]
    files = {}
    for package in PACKAGES:
        names, todo = [], [package]
        while todo:
            name = todo.pop()
            if lock[name]["file_name"] not in names:
                names.append(lock[name]["file_name"])
            todo += [n for n in lock[name]["depends"] if n not in PACKAGES]
        files[package] = names
    return files


def copy_runtime(runtime: Path, target: Path) -> None:
    """Copy what the site loads of a folder with Pyodide."""
    version = json.loads((runtime / "package.json").read_text("utf-8"))["version"]
    if version != PYODIDE:
        raise SystemExit(f"--runtime: expected Pyodide {PYODIDE}, got {version}")
    target.mkdir(parents=True, exist_ok=True)
    for name in {*CORE, *sum(runtime_files(runtime).values(), [])}:
        shutil.copy(runtime / name, target)


def build(folder: Path, out: Path) -> None:
    """Run zensical on what was staged, and move the result to its place, whole or not at all."""
    config = (HERE / "mkdocs.yml").read_text("utf-8").replace("ROOT", str(ROOT))
    (folder / "mkdocs.yml").write_text(config, "utf-8")
    done = subprocess.run(
        [Path(sys.executable).with_name("zensical"), "build", "-f", folder / "mkdocs.yml"],
        cwd=folder, capture_output=True, text=True, encoding="utf-8",
    )
    if done.returncode or re.search(r"\d issues? found", done.stdout + done.stderr):
        raise SystemExit(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr))
    if out.exists():
        shutil.rmtree(out)
    shutil.copytree(folder / "site", out)


if __name__ == "__main__":
    sys.exit(main())
