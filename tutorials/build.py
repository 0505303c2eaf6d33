"""Run the tutorials, and write down what they print and draw.

    python tutorials/build.py              all pages
    python tutorials/build.py 02 07        those whose names begin so
    python tutorials/build.py --check 02   only say what would change

A page is Markdown. Its ```python blocks run in order, in one namespace and a process of their own,
with this folder as the current one. What a block prints stands below it in a ```text block. Figures
are files that blocks write to figures/.

A line that ends in ``# short: VALUE`` gets that value instead of its own if the environment
variable FCN_NUMPY_SHORT is set: so pages that train can be tried in seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SHORT = "FCN_NUMPY_SHORT"
# A block of Python, and the block of text below it if there is one.
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?P<output>\n*^```text\n.*?^```\n)?", re.M | re.S
)
SHORT_VALUE = re.compile(r"^(\s*[\w, ]+ = ).*?(  # short: )(.*)$", re.M)


def run(text: str, name: str) -> str:
    """Run the blocks of a page in this process; return the page with what they print.

    Parameters
    ----------
    text : str
        The page.
    name : str
        What a traceback calls it.
    """
    namespace = {"__name__": "__main__"}

    def run_block(block):
        code = block["code"]
        shown = code
        if os.environ.get(SHORT):
            code = SHORT_VALUE.sub(r"\1\3\2\3", code)
        printed = io.StringIO()
        # Empty lines before it, so that a traceback shows the line of the page.
        before = "\n" * (text[: block.start("code")].count("\n"))
        with contextlib.redirect_stdout(printed):
            exec(compile(before + code, name, "exec"), namespace)
        lines = [line.rstrip() for line in printed.getvalue().rstrip().splitlines()]
        output = "\n```text\n" + "\n".join(lines) + "\n```\n" if lines else ""
        return f"```python\n{shown}```\n{output}"

    return BLOCK.sub(run_block, text)


def run_in_process(path: Path, folder: Path = FOLDER) -> str:
    """Run a page in a process of its own, with `folder` as the current one; return it anew.

    Raises
    ------
    RuntimeError
        If a block fails; with its traceback.
    """
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--print", str(path)], cwd=folder,
        env={
            **os.environ, "MPLBACKEND": "agg", "PYTHONPATH": os.pathsep.join(sys.path),
            # The matrices are small, and pages may run beside each other.
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True, text=True, encoding="utf-8",
    )
    if done.returncode:
        raise RuntimeError(f"{path.name} fails:\n{done.stderr}")
    return done.stdout


def prepare(folder: Path) -> Path:
    """Return a folder made ready for pages to run in: with what they read, and empty figures/."""
    (folder / "figures").mkdir(exist_ok=True)
    if folder != FOLDER:
        for name in ("weights", "photos"):
            shutil.copytree(FOLDER / name, folder / name)
    return folder


def pages(beginnings: list[str] | None = None) -> list[Path]:
    """Return the pages that have blocks to run, in order."""
    return [
        path for path in sorted(FOLDER.glob("[0-9E][0-9]*_*.md"))
        if not beginnings or any(path.name.startswith(name) for name in beginnings)
    ]


def main() -> int:
    """Run the command line; return 1 if a page fails, or would change with --check."""
    parser = argparse.ArgumentParser(description="Run the tutorials; write down what they print.")
    parser.add_argument("pages", nargs="*", metavar="NN", help="beginnings of names (default: all)")
    parser.add_argument("--check", action="store_true", help="change nothing, say what would be")
    parser.add_argument("--print", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.print:
        page = run(options.print.read_text("utf-8"), options.print.name)
        sys.stdout.reconfigure(encoding="utf-8")
        sys.stdout.write(page)
        return 0
    wrong = 0
    for path in pages(options.pages):
        start = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as scratch:
                folder = prepare(Path(scratch) if options.check else FOLDER)
                new = run_in_process(path, folder)
        except RuntimeError as error:
            print(error)
            wrong += 1
            continue
        same = new == path.read_text("utf-8")
        if not same and not options.check:
            path.write_text(new, "utf-8")
        words = "as it stands" if same else "would change" if options.check else "written anew"
        wrong += options.check and not same
        print(f"{path.name}: {words}, {time.monotonic() - start:.0f} s", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
