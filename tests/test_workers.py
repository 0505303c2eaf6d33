"""Worker processes: what they import, and what becomes of those that fail."""

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import fcn_numpy
from fcn_numpy.training import WorkerFailed
from fcn_numpy.training.workers import WorkerPool

PACKAGE = Path(fcn_numpy.__file__).parent
# Names of modules that workers import, of Python and of others.
MODULES = ("pickle", "random", "struct", "json", "csv", "numpy", "zipfile", "dataclasses", "PIL")

# Everything is imported before the current folder changes, so only workers can meet the traps.
PROGRAM = """
import dataclasses, os, sys
from fcn_numpy.training import Settings, train
out, folder = sys.argv[1:]
settings = Settings().quick().with_stages(steps=1)
os.chdir(folder)
sys.path.insert(0, sys.path[0] and folder)
train(out, dataclasses.replace(settings, n_test=1))
"""


def write_traps(folder):
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'sprung')!r}, 'w')\n")


def run(arguments, folder, path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=environment, capture_output=True,
        text=True, timeout=200,
    )


@pytest.mark.parametrize("start", ["script", "code"])
def test_nothing_of_the_current_folder_is_imported(tmp_path, start):
    """A script has its own folder first on its path; code, as a notebook runs it, has ''."""
    (tmp_path / "traps").mkdir()
    write_traps(tmp_path / "traps")
    (tmp_path / "script.py").write_text(PROGRAM)
    program = [tmp_path / "script.py"] if start == "script" else ["-c", PROGRAM]
    done = run([*program, tmp_path / "out", tmp_path / "traps"], tmp_path, [PACKAGE.parent])
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "traps" / "sprung").exists()
    assert (tmp_path / "out" / "scores.json").exists()


def test_this_package_may_be_in_the_current_folder(tmp_path):
    """As in a clone: it is found there, and nothing else is."""
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "fcn_numpy").symlink_to(PACKAGE)
    # This process imports from there; the traps come when it has.
    code = PROGRAM.replace("os.chdir(folder)", "os.chdir(folder)\nexec(open('traps').read())")
    (tmp_path / "clone" / "traps").write_text(
        f"for name in {MODULES}: open(name + '.py', 'w').write(\"open('sprung', 'w')\")"
    )
    done = run(["-c", code, tmp_path / "out", tmp_path / "clone"], tmp_path / "clone", [])
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "clone" / "sprung").exists()


def test_this_package_may_be_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        for path in PACKAGE.rglob("*.py"):
            archive.write(path, path.relative_to(PACKAGE.parent))
    (tmp_path / "traps").mkdir()
    write_traps(tmp_path / "traps")
    done = run(
        ["-c", PROGRAM, tmp_path / "out", tmp_path / "traps"], tmp_path, [tmp_path / "app.zip"]
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "traps" / "sprung").exists()


class Job:
    """A job that is also the object whose methods are called."""

    def start(self):
        return self

    def process(self):
        return os.getpid()

    def fail(self, kind):
        raise kind("what it says")

@pytest.mark.parametrize("kind", [ValueError, OSError, MemoryError, FileNotFoundError])
def test_an_error_of_a_call_is_raised_here_with_its_words(kind):
    with WorkerPool([Job(), Job()]) as pool:
        words = "more memory than there is" if kind is MemoryError else "what it says"
        with pytest.raises(WorkerFailed, match=words):
            pool.call(Job.fail, kind)
        assert len(set(pool.call(Job.process))) == 2  # they still answer


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_is_named_with_the_signal(number):
    with WorkerPool([Job(), Job()]) as pool:
        _, second = pool.call(Job.process)
        os.kill(second, number)
        with pytest.raises(WorkerFailed, match=f"a worker process was killed by {number.name}"):
            pool.call(Job.process)
