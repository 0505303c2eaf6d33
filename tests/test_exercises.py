"""The exercises' graders reject stubs, give hints for common mistakes, and accept the answers."""

import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).parent.parent / "tutorials" / "exercises"
NUMBERS = sorted(path.stem for path in FOLDER.glob("[0-9][0-9].py"))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def grade(*arguments, code=""):
    """Run the graders as a reader does, on the stubs or on what is in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER), *arguments],
        env={**os.environ, "FCN_NUMPY_EXERCISES": code,
             "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False, cwd=FOLDER.parent.parent,
    ).stdout


def test_every_page_has_an_exercise():
    pages = {path.name[:2] for path in FOLDER.parent.glob("[0-9][0-9]_*.md")}
    assert set(NUMBERS) == pages
    for number in NUMBERS:
        page, = FOLDER.parent.glob(f"{number}_*.md")
        assert f"python -m pytest tutorials/exercises -k {number}" in page.read_text("utf-8")


def test_stubs_fail_and_say_what_to_write():
    said = grade()
    assert " passed" not in said and not re.search(r"\berrors?\b", said), said
    failures = int(re.search(r"(\d+) failed", said)[1])
    assert said.count("Not written yet: ") >= failures
    assert "Traceback" not in said and "conftest" not in said


def test_answers_pass():
    said = grade(code="answers")
    assert "failed" not in said and "error" not in said, said
    assert int(re.search(r"(\d+) passed", said)[1]) >= len(NUMBERS)


def test_one_page_is_graded_alone():
    number = NUMBERS[0]
    said = grade("-k", number, code="answers")
    tests = (FOLDER / f"test_{number}.py").read_text("utf-8").count("\ndef test_")
    assert f"{tests} passed" in said, said


@pytest.mark.parametrize("number", NUMBERS)
def test_common_mistakes_get_their_hints(number, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    answers, grader = load(FOLDER / f"answers/{number}.py"), load(FOLDER / f"test_{number}.py")
    tests = [test for name, test in inspect.getmembers(grader, inspect.isfunction)
             if name.startswith("test_")]
    assert answers.MISTAKES
    for name, wrong, words in answers.MISTAKES:
        mine = SimpleNamespace(**{**vars(answers), name: wrong})
        hints = []
        for test in tests:
            try:
                test(mine)
            except pytest.fail.Exception as failure:
                hints.append(str(failure))
            except ValueError:  # the mistake's own
                continue
        assert any(words in hint for hint in hints), (name, words, hints)


@pytest.mark.parametrize("number", NUMBERS)
def test_stubs_and_answers_have_the_same_functions(number):
    def signatures(path):
        return {name: str(inspect.signature(f)) for name, f in vars(load(path)).items()
                if inspect.isfunction(f) and not name.startswith("_")}

    stubs = signatures(FOLDER / f"{number}.py")
    answers = signatures(FOLDER / f"answers/{number}.py")
    assert stubs and stubs == answers
