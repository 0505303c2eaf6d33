"""What a user, a file, a full disk or a dead process does to a command: one line, no traceback."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from failing_command import failed
from labeled_folder import write_folder
from PIL import Image

from fcn_numpy import weights
from fcn_numpy.cli import main
from fcn_numpy.models import TINY, FCN8s

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
COMMAND = [sys.executable, "-m", "fcn_numpy"]


def shell(line, *arguments, **environment):
    """Run a line of a shell, in which $0 is this program; return status, output and errors."""
    done = subprocess.run(
        ["sh", "-c", line.replace("$0", " ".join(COMMAND)), "sh", *map(str, arguments)],
        env={**ENVIRONMENT, **environment}, capture_output=True, timeout=300,
    )
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    assert "Traceback" not in err, err
    return done.returncode, out, err


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Weights of a network of three classes that nobody has named."""
    path = tmp_path_factory.mktemp("network") / "w.npz"
    model = FCN8s(3, TINY, rng=np.random.default_rng(0))
    model.score_fr.bias.data[1] = 5
    weights.save(path, model.state_dict())
    return path


def draw(path, size=(64, 64)):
    Image.new("RGB", size, "gray").save(path)
    return path


# ---------------------------------------------------------------- the terminal


@pytest.mark.slow
def test_output_that_was_closed_ends_nothing(tmp_path):
    status, _, err = shell('$0 train --quick --out "$1" >&-', tmp_path / "run")
    assert (status, err) == (0, "")
    assert (tmp_path / "run" / "predictions.png").exists()
    assert shell("$0 summary fcn8s --backbone tiny >&- 2>&-")[0] == 0


@pytest.mark.parametrize("command", ["summary fcn8s --backbone tiny", "gradcheck relu"])
def test_output_to_a_full_disk_is_one_line(command):
    status, _, err = shell(f"$0 {command} > /dev/full")
    assert status == 2
    assert err == f"fcn-numpy {command.split()[0]}: error: No space left on device\n"


@pytest.mark.slow
def test_a_run_whose_output_fills_the_disk_goes_on_later(tmp_path):
    status, _, err = shell('$0 train --quick --out "$1" > /dev/full', tmp_path / "run")
    assert status == 1
    assert "No space left on device. What was trained is saved; continue with: fcn-numpy" in err
    assert shell('$0 train --resume --out "$1"', tmp_path / "run")[0] == 0


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_a_terminal_cannot_show_ends_nothing(network, tmp_path, encoding):
    draw(tmp_path / "道路.png")
    draw(tmp_path / "b.png")
    status, out, err = shell(
        '$0 predict --weights "$1" "$2"/道路.png "$2"/b.png --out "$3" --classes "ground,路,x"',
        network, tmp_path, tmp_path / "out", PYTHONIOENCODING=encoding, PYTHONUTF8="0",
    )
    assert (status, err) == (0, "")
    assert r"\u9053\u8def.png: \u8def 100%" in out and "b.png" in out
    assert len(list((tmp_path / "out").iterdir())) == 6


@pytest.mark.slow
def test_names_that_a_terminal_cannot_show_are_trained_on(tmp_path):
    root = write_folder(tmp_path / "own", 4)
    (root / "classes.csv").write_text("name\nbackground\n圆\n方\ntriangle\n", "utf-8")
    status, out, _ = shell(
        '$0 train --quick --data "$1" --out "$2"', root, tmp_path / "run",
        PYTHONIOENCODING="ascii", PYTHONUTF8="0",
    )
    assert status == 0 and r"\u5706" in out
    assert (tmp_path / "run" / "predictions.png").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text(network, tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    draw(path.decode("utf-8", "surrogateescape"))
    status, out, _ = shell(
        '$0 predict --weights "$1" "$2" --out "$3"', network, tmp_path, tmp_path / "out"
    )
    assert status == 0 and r"caf\udce9.png: class 1" in out


def test_foreign_text_cannot_command_the_terminal(network, tmp_path, capsys):
    name = "\x1b[31mred\a.png"
    assert r"\x1b[31mred\x07.png" in failed(
        capsys, "predict", "--weights", network, tmp_path / name, "--out", tmp_path / "o", status=1
    )
    model = FCN8s(3, TINY, rng=np.random.default_rng(0)).state_dict()
    weights.save(tmp_path / "w.npz", {"\x1b]0;title\a" * 99: np.zeros(3), **model})
    said = failed(capsys, "predict", "--weights", tmp_path / "w.npz", "x.png")
    assert said.rstrip("\n").isprintable() and len(said) < 560
    with pytest.raises(SystemExit):
        main(["\x1b[31m" * 300])
    said = capsys.readouterr().err
    assert said.rstrip("\n").isprintable() and len(said) < 700


# ---------------------------------------------------------------- Ctrl-C, limits, dead processes


# Runs the command line, and prints a line once Ctrl-C ends it without a traceback.
STARTED = """
import signal, sys
from fcn_numpy.__main__ import main

def set_and_say(number, handler, set_handler=signal.signal):
    signal.signal = set_handler
    before = set_handler(number, handler)
    print(flush=True)
    return before

signal.signal = set_and_say
sys.exit(main())
"""


@pytest.mark.parametrize("moment", [0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3])
def test_ctrl_c_leaves_no_traceback(tmp_path, moment):
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED, "train", "--quick", "--out", str(tmp_path / "run")],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert process.stdout.readline() == "\n"
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode in (130, -signal.SIGINT) and "Traceback" not in err, err


@pytest.mark.parametrize(("arguments", "words", "status"), [
    (["--steps-factor", "1e307"], "expected steps of at most 1,000,000,000", 2),
    (["--batch", "1000000000000"], "expected batch of at most 1,000,000,000", 2),
    (["--lr-factor", "1e308"], "try a lower learning rate than 1e+307 for this stage", 2),
    (["--lr-factor", "1e309"], "expected a number above 0, got '1e309'", 2),
    (["--seed", "9" * 5000], "expected a whole number of at least 0", 2),
    (["--batch", "20000000"], "more memory than there is. What was trained is saved; con", 1),
])
def test_numbers_without_measure(tmp_path, capsys, arguments, words, status):
    said = failed(
        capsys, "train", "--quick", "--out", tmp_path / "run", *arguments, status=status
    )
    assert words in said


def test_a_crop_without_measure(tmp_path, capsys):
    root = write_folder(tmp_path / "own", 3, listed=True)
    said = failed(
        capsys, "train", "--quick", "--data", root, "--crop", "200000", "--out", tmp_path / "run"
    )
    assert "expected size of at most 7,071, got 200000" in said


@pytest.mark.slow
def test_a_limit_of_file_sizes_interrupts_and_goes_on(tmp_path):
    out = tmp_path / "run"
    # In blocks of 512 bytes: less than a checkpoint of the classifier.
    status, _, err = shell('ulimit -f 1500; $0 train --quick --out "$1"', out)
    assert status == 1
    assert re.fullmatch(
        r"fcn-numpy train: error: File too large: .*checkpoint\.npz\. What was trained is saved; "
        r"continue with: fcn-numpy train --resume --out .*run\n", err
    )
    assert not list(out.glob(".*")) and not (out / "run.lock").exists()
    assert shell('$0 train --resume --out "$1"', out)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["gone", "cut", "resized"])
def test_images_that_change_while_a_run_goes_on(tmp_path, how):
    root = write_folder(tmp_path / "own", 5, listed=True)
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*COMMAND, "train", "--quick", "--data", root, "--out", out], env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    deadline = time.monotonic() + 100
    while not (out / "config.json").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    before = {path: path.read_bytes() for path in (root / "images").iterdir()}
    for path in before:
        if how == "gone":
            path.unlink()
        elif how == "cut":
            path.write_bytes(before[path][:200])
        else:
            draw(path, (9, 9))
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1 and "Traceback" not in err, err
    assert err.count("\n") == 1 and "What was trained is saved; continue with" in err
    if how == "gone":
        for path, data in before.items():
            path.write_bytes(data)
        assert main(["train", "--resume", "--out", str(out)]) == 0


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_refused_at_once(network, tmp_path, capsys, kind):
    path = {"pipe": tmp_path / "p.png", "folder": tmp_path, "device": Path("/dev/zero")}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    image = draw(tmp_path / "image.png")
    signal.alarm(60)  # it would wait for ever
    words = f"expected a file, got a {'named pipe' if kind == 'pipe' else kind}"
    assert words in failed(capsys, "predict", "--weights", path, image)
    assert words in failed(capsys, "evaluate", "--weights", path, "--data", tmp_path)
    if kind != "folder":
        assert words in failed(
            capsys, "predict", "--weights", network, path, "--out", tmp_path / "o", status=1
        )
    signal.alarm(0)


def test_many_names_are_no_path(network, tmp_path, capsys):
    names = ",".join(f"class of number {n}" for n in range(31))
    said = failed(
        capsys, "predict", "--weights", network, draw(tmp_path / "x.png"), "--classes", names
    )
    assert "to hold weights for 31 classes, got score_fr.weight for 3" in said


def test_results_that_cannot_be_written_stop_no_other(network, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "b_overlay.png").mkdir(parents=True)
    long = draw(tmp_path / f"{'n' * 250}.png")
    images = [draw(tmp_path / "a.png"), draw(tmp_path / "b.png"), long, draw(tmp_path / "c.png")]
    assert main(["predict", "--weights", str(network), "--out", str(out), *map(str, images)]) == 1
    said, errors = capsys.readouterr()
    assert "a.png: class 1 100%" in said and "c.png: class 1 100%" in said
    assert errors.count("\n") == 2
    assert "b_overlay.png exists, and was not written by this program" in errors
    assert "File name too long" in errors
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_network_of_nan_is_refused_by_every_command(tmp_path, capsys):
    model = FCN8s(4, TINY, rng=np.random.default_rng(0)).state_dict()
    model["fc7.bias"][3] = np.nan
    weights.save(tmp_path / "w.npz", model)
    root = write_folder(tmp_path / "own", 3, listed=True)
    image = draw(tmp_path / "x.png")
    path = ["--weights", tmp_path / "w.npz"]
    for arguments in (
        ["predict", *path, image], ["evaluate", *path, "--data", root],
        ["export", *path, tmp_path / "x.pth"],
        ["train", "--quick", "--data", root, "--pretrained", tmp_path / "w.npz", "--out",
         tmp_path / "run"],
    ):
        said = failed(capsys, *arguments)
        assert "w.npz: fc7.bias holds NaN or infinity" in said


def test_a_name_that_no_file_can_have_stops_no_other(network, tmp_path, capsys):
    image = draw(tmp_path / "a.png")
    command = ["predict", "--weights", str(network), "--out", str(tmp_path / "o")]
    assert main([*command, "n" * 300 + ".jpg", str(image)]) == 1
    said, errors = capsys.readouterr()
    assert "a.png: class 1 100%" in said and "File name too long" in errors


@pytest.mark.parametrize("folder", ["h [2024]", "plain"])
def test_a_pattern_in_a_folder_with_brackets(network, tmp_path, capsys, folder):
    (tmp_path / folder).mkdir()
    draw(tmp_path / folder / "a.png")
    pattern = str(tmp_path / folder / "*.png")
    assert main(["predict", "--weights", str(network), pattern, "--out", str(tmp_path / "o")]) == 0
    assert "a.png: class 1 100%" in capsys.readouterr().out


def test_settings_of_matplotlib_do_not_matter(network, tmp_path):
    """They may ask for TeX, which is not everywhere."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    draw(tmp_path / "a.png")
    status, out, err = shell(
        'cd "$1" && $0 predict --weights "$2" a.png --out o', tmp_path, network
    )
    assert (status, err) == (0, "") and "a.png: class 1" in out


@pytest.mark.slow
def test_a_current_folder_that_is_gone_and_a_call_from_elsewhere(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    status, _, err = shell(
        'cd "$1" && rmdir "$1" && $0 train --quick --out "$2"', gone, tmp_path / "a"
    )
    assert (status, err) == (0, "")
    code = (
        "import sys, threading; from fcn_numpy.cli import main; codes = []\n"
        "t = threading.Thread(target=lambda: codes.append(main(sys.argv[1:])))\n"
        "t.start(); t.join(); sys.exit(codes[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--quick", "--out", str(tmp_path / "b")],
        env=ENVIRONMENT, capture_output=True,
    )
    assert done.returncode == 0, done.stderr
