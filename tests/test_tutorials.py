"""Every tutorial runs as it stands, prints what stands there, and draws what it shows."""

import difflib
import importlib.util
import os
import re
from pathlib import Path

import pytest
from PIL import Image

FOLDER = Path(__file__).parent.parent / "tutorials"
spec = importlib.util.spec_from_file_location("tutorials_build", FOLDER / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

# Pages that train a network; they run in the slow set, with the short values they name.
SLOW = {path for path in build.pages() if "  # short: " in path.read_text("utf-8")}
SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#]*)(#[^)]*)?\)")
TEXTS = sorted(FOLDER.glob("*.md"))
QUICK = [path for path in build.pages() if path not in SLOW]


def run_page(path, folder):
    return build.run_in_process(path, build.prepare(folder))


def assert_draws_what_it_shows(path, folder):
    """Each figure on the page is one that its blocks have written, now and there."""
    shown = [target for _, target in SHOWN.findall(path.read_text("utf-8"))]
    drawn = sorted(f"figures/{p.name}" for p in (folder / "figures").iterdir())
    assert sorted(set(shown)) == drawn
    for target in shown:
        assert Path(target).name.startswith(path.name[:2]), f"{target} belongs to another page"
        with Image.open(folder / target) as new, Image.open(FOLDER / target) as old:
            # Fonts differ from machine to machine, and so may the size, by a little.
            assert new.size == pytest.approx(old.size, rel=0.05)
            assert getattr(new, "n_frames", 1) == getattr(old, "n_frames", 1)


@pytest.mark.parametrize("path", QUICK, ids=lambda p: p.stem)
def test_a_page_prints_what_stands_there(path, page_runs):
    folder, run = page_runs[path]
    before, after = path.read_text("utf-8"), run.result()
    changes = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "as it stands", "as it runs", lineterm=""
    )
    assert before == after, "\n".join(changes)
    assert_draws_what_it_shows(path, folder)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(SLOW), ids=lambda p: p.stem)
def test_a_page_that_trains_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv(build.SHORT, "1")
    after = run_page(path, tmp_path)
    # What it prints depends on the number of steps; which blocks print does not.
    assert after.count("```text") == path.read_text("utf-8").count("```text")
    assert_draws_what_it_shows(path, tmp_path)


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.stem)
def test_links_lead_somewhere(path):
    text = path.read_text("utf-8")
    for target, heading in LINK.findall(text):
        if target.startswith(("http:", "https:")):
            continue
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), target
        if heading:
            assert heading[1:] in anchors(file.read_text("utf-8")), f"{target}{heading}"


def anchors(text):
    """Names of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", build.pages(), ids=lambda p: p.stem)
def test_figures_have_captions_and_are_small(path):
    text = path.read_text("utf-8")
    for caption, target in SHOWN.findall(text):
        assert len(caption) > 10, f"{target} needs words for those who do not see it"
        assert os.path.getsize(FOLDER / target) < 500_000


@pytest.mark.parametrize("path", build.pages(), ids=lambda p: p.stem)
def test_a_page_is_short_and_has_three_exercises(path):
    text = path.read_text("utf-8")
    assert text.count("\n") <= 450
    for tag in ("</details>", "<summary>"):
        assert text.count("<details>") == text.count(tag)
    if path.name[0] != "E":  # an extra page is a detour
        assert len(re.findall(r"^\*\*\d\.", text, re.M)) >= 3
        assert "<summary>Answer</summary>" in text


# ---------------------------------------------------------------- how pages are run


def test_blocks_share_a_namespace_and_outputs_are_written():
    page = "a\n\n```python\nx = 1\n```\n\n```text\nold\n```\n\n```python\nprint(x, ' ')\n```\nb\n"
    assert build.run(page, "p") == (
        "a\n\n```python\nx = 1\n```\n\n```python\nprint(x, ' ')\n```\n\n```text\n1\n```\nb\n"
    )


def test_running_a_page_twice_changes_nothing():
    page = "```python\nprint('a\\n\\nb')\n```\n\n```text\nx\n```\n\nwords\n\n```sh\nls\n```\n"
    once = build.run(page, "p")
    assert "```text\na\n\nb\n```\n\nwords" in once
    assert build.run(once, "p") == once


def test_short_values_take_the_place_of_the_others(monkeypatch):
    page = "```python\nsteps = 3000  # short: 2\nprint(steps)\n```\n"
    assert "\n3000\n" in build.run(page, "p")
    monkeypatch.setenv(build.SHORT, "1")
    short = build.run(page, "p")
    assert "\n2\n" in short and "steps = 3000  # short: 2" in short


def test_a_page_that_fails_names_its_line(tmp_path):
    path = tmp_path / "09_x.md"
    path.write_text("words\n\n```python\n1 / 0\n```\n")
    with pytest.raises(RuntimeError, match=r"(?s)09_x\.md fails.*line 4.*ZeroDivisionError"):
        build.run_in_process(path, tmp_path)
