"""The website: built, its code runs in a browser, its figures show the package's numbers.

What needs a browser is slow and optional: pip install '.[site]', Chromium, and a folder with
Pyodide, whose path is in FCN_NUMPY_PYODIDE.
"""

import functools
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fcn_numpy import conv_matrix, im2col
from fcn_numpy.data import TOY_CLASSES, normalize, toy_shapes
from fcn_numpy.explain import explain
from fcn_numpy.geometry import trace
from fcn_numpy.models import ALEXNET, VGG16, FCN8s, FCN32s, from_file
from fcn_numpy.nn import bilinear_kernel
from fcn_numpy.paper import by_layer

ROOT = Path(__file__).parent.parent
SITE = ROOT / "docs" / "site"
spec = importlib.util.spec_from_file_location("site_build", SITE / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

PAGES = sorted(path.stem for path in (ROOT / "tutorials").glob("[0-9E][0-9]_*.md"))
# Pages whose blocks all run in seconds, and print the same in a browser.
RUN = [page for page in PAGES if page[:2] in ("00", "01", "02", "03", "07", "08", "09")]
SECONDS = 1000  # playwright counts milliseconds


def test_every_page_of_the_course_is_in_the_navigation():
    listed = re.findall(r"tutorials/(\w+)\.md", (SITE / "mkdocs.yml").read_text("utf-8"))
    assert sorted({*listed} - {"README", "FAQ", "GLOSSARY"}) == PAGES
    for folder in ("docs", "."):
        for path in (ROOT / folder).glob("*.md"):
            name = "index.md" if path.name == "README.md" else path.relative_to(ROOT).as_posix()
            assert name in (SITE / "mkdocs.yml").read_text("utf-8"), name


def test_links_of_a_page_lead_to_the_site_or_to_the_repository():
    pages = [Path("README.md"), Path("tutorials/07_upsampling.md"), Path("docs/data.md")]
    text = (
        "[a](07_upsampling.md#exercises) [b](../README.md#two-commands) [c](fcn8s.py) "
        "![d](figures/07_tents.png) [e](https://example.org) [f](#here) [g](../docs/data.md) "
        "[h](exercises/)\n\n"
        "[i]: https://github.com/fcn-numpy/fcn_numpy/blob/main/docs/data.md\n"
    )
    assert build.with_site_links(text, Path("tutorials/01_x.md"), pages) == (
        "[a](07_upsampling.md#exercises) [b](../index.md#two-commands) "
        "[c](https://github.com/fcn-numpy/fcn_numpy/blob/main/tutorials/fcn8s.py) "
        "![d](figures/07_tents.png) [e](https://example.org) [f](#here) [g](../docs/data.md) "
        "[h](https://github.com/fcn-numpy/fcn_numpy/tree/main/tutorials/exercises)\n\n"
        "[i]: ../docs/data.md\n"
    )


def test_figures_to_touch_have_a_place_and_a_text():
    for page, _, figure, still, words in build.FIGURES:
        assert (ROOT / "tutorials" / "figures" / still).exists()
        path = Path("tutorials", f"{page}.md")
        text = build.with_site_links((ROOT / path).read_text("utf-8"), path, [path])
        assert text.count(f'data-figure="{figure}"') == 1 and words in text
        assert (SITE / "assets" / "touch" / f"{figure}.js").exists()


def test_the_folder_to_write_to_must_be_a_site_or_empty(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    done = subprocess.run(
        [sys.executable, str(SITE / "build.py"), "--out", str(tmp_path)], capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "is not empty, and not a site" in done.stderr
    assert (tmp_path / "precious.txt").exists()


# ---------------------------------------------------------------- in a browser

slow = pytest.mark.slow


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the site, built and served."""
    pytest.importorskip("zensical")
    runtime = os.environ.get("FCN_NUMPY_PYODIDE")
    if not runtime:
        pytest.skip("FCN_NUMPY_PYODIDE names no folder with Pyodide")
    out = tmp_path_factory.mktemp("site") / "site"
    subprocess.run(
        [sys.executable, str(SITE / "build.py"), "--out", str(out), "--runtime", runtime],
        check=True, capture_output=True,
    )
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(out))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(site):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, site):
    """An empty page; in the end it must have met no error, and asked no other server."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda m: wrong.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("request", lambda r: None if r.url.startswith((site, "blob:", "data:"))
            else wrong.append(f"request: {r.url}"))
    yield page
    page.close()
    assert not wrong


@slow
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_loads_and_fits(site, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    addresses = ["", "playground/", "docs/data/", "ARCHITECTURE/", "reference/layers/",
                 "tutorials/", "tutorials/FAQ/", *(f"tutorials/{name}/" for name in PAGES)]
    for address in addresses:
        assert page.goto(site + address).ok, address
        assert page.locator("h1").first.inner_text()
        # Nothing makes the whole page scroll sideways.
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1"
        ), address
        if address.startswith("tutorials/") and address.count("/") == 2 and "FAQ" not in address:
            assert page.locator(".run-bar").count() == 1, address


def wait_for_status(page, beginning, seconds=120):
    page.wait_for_function(
        f"document.querySelector('.run-status').textContent.startsWith('{beginning}')",
        timeout=seconds * SECONDS,
    )


def run_all(page, seconds=300):
    """Run all blocks of a page; return what each prints, and what the page says it does."""
    page.get_by_role("button", name="Run all", exact=True).click()
    page.wait_for_function(
        "/^(Done|Block .* failed)/.test(document.querySelector('.run-status').textContent)",
        timeout=seconds * SECONDS,
    )
    return page.evaluate("""FCN_RUN.cells.map(cell => [
        (cell.out.querySelector("pre") || {textContent: ""}).textContent,
        cell.shown ? cell.shown.querySelector("code").textContent.trimEnd() : "",
        cell.out.classList.contains("failed")])""")


@slow
@pytest.mark.parametrize("name", RUN)
def test_all_blocks_print_what_the_page_says(site, page, name):
    page.goto(f"{site}tutorials/{name}/")
    for number, (printed, shown, failed) in enumerate(run_all(page), 1):
        assert not failed and printed == shown, f"block {number}"
    # Figures on the page are those that were drawn just now.
    text = (ROOT / "tutorials" / f"{name}.md").read_text("utf-8")
    figures = set(re.findall(r"\(figures/[\w.]+\)", text))
    assert page.locator("img.run-figure").count() == len(figures)


@slow
def test_a_block_is_edited_run_stopped_and_reset(site, page):
    page.goto(f"{site}tutorials/01_what_is_segmentation/")
    code = page.locator("code[contenteditable]").first
    before = code.inner_text()
    status = page.locator(".run-status")

    def run(text, says):
        code.fill(text)
        page.get_by_role("button", name="Run block 1", exact=True).click()
        wait_for_status(page, says)

    run("print(6 * 7)", "Done")
    assert page.locator(".run-out pre").first.inner_text() == "42"
    run("1 / 0", "Block 1 failed")
    assert "ZeroDivisionError" in page.locator(".run-out.failed").first.inner_text()
    code.fill("while True: pass")
    page.get_by_role("button", name="Run block 1", exact=True).click()
    page.wait_for_timeout(2 * SECONDS)
    page.get_by_role("button", name="Stop", exact=True).click()
    assert "Stopped" in status.inner_text()
    page.get_by_role("button", name="Reset page", exact=True).click()
    assert code.inner_text() == before
    assert page.locator(".run-out:visible").count() == 0


@slow
def test_training_runs_in_the_browser(site, page):
    page.goto(f"{site}tutorials/01_what_is_segmentation/")
    code = page.locator("code[contenteditable]").first
    code.fill("from fcn_numpy.cli import main\nprint(main(['train', '--quick', '--out', 'run']))")
    page.get_by_role("button", name="Run block 1", exact=True).click()
    wait_for_status(page, "Done", 300)
    said = page.locator(".run-out pre").first.inner_text()
    assert said.endswith("\n0") and "mean IU" in said


@slow
def test_the_short_setting_of_a_page_that_trains(site, page):
    page.goto(f"{site}tutorials/11_training/")
    assert page.get_by_role("checkbox").is_checked()
    assert not any(failed for _, _, failed in run_all(page, 900))


def state_of(page, figure):
    return json.loads(page.locator(f'.touch[data-figure="{figure}"]').get_attribute("data-state"))


@slow
def test_the_window_on_the_matrix(site, page):
    page.goto(f"{site}tutorials/02_convolution_is_a_matrix/")
    figure = page.locator('.touch[data-figure="window"]')
    x = np.array([[(3 * i + 5 * j) % 7 for j in range(5)] for i in range(5)], float)
    arrows = {"R": "ArrowRight", "L": "ArrowLeft", "D": "ArrowDown", "U": "ArrowUp"}
    for kernel, stride, padding, keys in (
        (3, 1, 0, "R"), (2, 2, 1, "DR"), (4, 1, 2, "DDL"), (1, 3, 0, "U"),
    ):
        for label, value in (("kernel", kernel), ("stride", stride), ("padding", padding)):
            figure.get_by_label(label, exact=True).fill(str(value))
        figure.locator("svg").focus()
        for key in keys:
            page.keyboard.press(arrows[key])
        state = state_of(page, "window")
        w = np.arange(1.0, kernel**2 + 1).reshape(1, 1, kernel, kernel)
        matrix = conv_matrix(w, (5, 5), stride, padding).toarray()
        columns = im2col(x[None, None], kernel, stride, padding)[0]
        assert state["out"] ** 2 == len(matrix)
        at = state["at"]
        assert at != 0
        np.testing.assert_array_equal(state["row"], matrix[at])
        np.testing.assert_array_equal(state["column"], columns[:, at])
        assert state["y"] == matrix[at] @ x.ravel()


@slow
def test_the_stamp(site, page):
    page.goto(f"{site}tutorials/07_upsampling/")
    figure = page.locator('.touch[data-figure="stamp"]')
    kernels = {
        "ones": lambda k: np.ones((k, k)), "bilinear": lambda k: bilinear_kernel(k, np.float64)
    }
    for kernel, stride, kind, even in (
        (4, 2, "ones", True), (3, 2, "ones", False), (5, 3, "ones", False),
        (5, 3, "bilinear", True), (2, 3, "ones", False),
    ):
        figure.get_by_label("kernel").fill(str(kernel))
        figure.get_by_label("stride").fill(str(stride))
        figure.get_by_label("weights").select_option(kind)
        state = state_of(page, "stamp")
        w = kernels[kind](kernel)
        expected = by_layer(np.ones((1, 1, 5, 5)), w[None, None], stride)[0, 0]
        np.testing.assert_allclose(state["map"], expected)
        assert ("no checkerboard" in figure.locator(".touch-words").inner_text()) == even
    figure.get_by_label("stamps painted").focus()
    page.keyboard.press("Home")
    assert state_of(page, "stamp")["painted"] == 1


@slow
def test_the_crop_calculator(site, page):
    page.goto(f"{site}tutorials/08_where_am_i/")
    figure = page.locator('.touch[data-figure="crop"]')

    class Thin(VGG16):
        widths, fc_width = (1, 1, 1, 1, 1), 1

    class ThinAlexNet(ALEXNET):
        widths, fc_width = (2, 2, 2, 2, 2), 1

    for preset, model in (("fcn8s", FCN8s(2, Thin)), ("alexnet", FCN32s(2, ThinAlexNet))):
        figure.get_by_label("network").select_option(preset)
        grids = {step.name: step.output.grid for step in trace(model, 400)}
        for m in state_of(page, "crop")[1:]:
            assert Fraction(m["scale"]) == grids[m["name"]].scale[0], m
            assert Fraction(m["shift"]) == grids[m["name"]].shift[0], m
    words = figure.locator(".touch-words")
    assert "crop upscore at 18" in words.inner_text()
    figure.get_by_label("network").select_option("alexnet64")
    assert "18.5, which is no whole cell" in words.inner_text()
    figure.get_by_label("network").select_option("fcn8s")
    assert [m["offset"] for m in state_of(page, "crop") if m.get("up")] == [5, 9, 31]
    figure.locator("summary").click()
    figure.get_by_label("padding of conv1_1").fill("1")
    assert [m["offset"] for m in state_of(page, "crop") if m.get("up")] == [5, 9, -68]


@slow
def test_a_pixel_looks_back(site, page):
    page.goto(f"{site}tutorials/09_skips/")
    figure = page.locator('.touch[data-figure="pixel"]')
    figure.locator("table").wait_for()
    image = normalize(toy_shapes(37, 128, seed=12)[0][36:])[0]
    model = from_file(ROOT / "tutorials" / "weights" / "fcn8s.npz")
    figure.locator("canvas").first.focus()
    for keys, (row, column) in (([], (80, 52)), (["ArrowDown", "Shift+ArrowLeft"], (81, 44)),
                                (["Shift+ArrowUp"] * 11, (0, 44))):
        for key in keys:
            page.keyboard.press(key)
        state = state_of(page, "pixel")
        assert (state["row"], state["column"]) == (row, column)
        found = explain(model, image, (row, column))
        given = list(found.contributions.values())
        np.testing.assert_allclose(state["streams"], given, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(state["scores"], found.scores, rtol=1e-4, atol=1e-4)
        assert TOY_CLASSES.names[found.winner] in figure.locator(".touch-words").inner_text()


@slow
def test_the_playground_labels_a_circle_as_a_circle(site, page):
    page.goto(f"{site}playground/")
    box = page.locator(".play-canvas").first.bounding_box()
    x, y, side = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + side / 4, y, steps=4)  # a circle half as wide as the image
    page.mouse.up()
    wait_for_status(page, "All three")
    for network, least in ((1, 0.5), (2, 0.8), (3, 0.85)):
        labels = page.locator(".play-canvas").nth(network)
        counts = np.array(json.loads(labels.get_attribute("data-counts")))
        circle = np.pi / 16 * counts.sum()
        assert counts[1:].argmax() == 0  # of all shapes, mostly a circle
        assert min(counts[1], circle) / max(counts[1], circle) > least


@slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(site, browser, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(color_scheme=scheme)
    for address in (
        "", "tutorials/", "tutorials/00_ten_minutes/", "tutorials/02_convolution_is_a_matrix/",
        "tutorials/07_upsampling/", "tutorials/08_where_am_i/", "playground/", "reference/layers/",
    ):
        page.goto(site + address)
        page.wait_for_timeout(500)
        serious = [
            (v["id"], [node["html"][:120] for node in v["nodes"][:3]])
            for v in axe.run(page).response["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert not serious, (address, serious)
    page.close()


@slow
def test_without_javascript_a_page_reads_as_in_the_repository(site, browser):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{site}tutorials/02_convolution_is_a_matrix/")
    assert page.locator(".run-bar").count() == 0
    assert "In a browser with JavaScript" in page.locator(".touch").inner_text()
    still = page.locator(".touch img")
    assert still.evaluate("image => image.naturalWidth") > 100
    assert page.locator(".language-text.highlight").first.is_visible()
    page.close()
