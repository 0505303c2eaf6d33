"""The command line as a user types it: text, files and exit statuses."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from failing_command import failed
from PIL import Image

from fcn_numpy import data, weights
from fcn_numpy.cli import COMMANDS, main, parse
from fcn_numpy.cli.train import settings_from
from fcn_numpy.models import TINY, FCN8s, FCN8sAtOnce, from_file

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "shapes"
    assert main(["train", "--quick", "--out", str(out)]) == 0
    return out


def test_train_leaves_images_and_ends_with_a_table(tmp_path, capsys):
    out = tmp_path / "deep" / "run"
    assert main(["train", "--quick", "--out", str(out)]) == 0
    words = capsys.readouterr().out
    for name in ("predictions.png", "curves.png"):
        with Image.open(out / name) as image:
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(10**6)) > 50
    assert re.search(r"pixel acc\. +mean acc\. +mean IU +f\.w\. IU", words)
    for name in ("fcn32s", "fcn16s", "fcn8s"):
        assert re.search(rf"^{name}( +\d\.\d{{3}}){{8}}$", words, re.M)
    # Piped, so plain lines.
    assert "\r" not in words
    assert re.search(r"classifier +step +12/12 +loss \d+\.\d+ +\d+ images/s +\d+:\d\d left", words)


def test_train_does_not_overwrite(run, capsys):
    assert "holds a run already" in failed(capsys, "train", "--quick", "--out", str(run))


def test_resume_keeps_its_settings(run, capsys):
    words = failed(capsys, "train", "--resume", "--seed", "3", "--out", str(run))
    assert "--seed" in words


@pytest.mark.parametrize("arguments", [
    ["--heavy"], ["--batch", "1"], ["--momentum", "0"], ["--reduction", "mean"],
    ["--loss-sampling", "1"], ["--quick"], ["--control"], ["--lr-factor", "1"],
    ["--steps-factor", "1"], ["--seed", "0"], ["--data", "x"],
])
def test_resume_keeps_how_it_learns(run, capsys, arguments):
    words = failed(capsys, "train", "--resume", *arguments, "--out", str(run))
    assert f"got {arguments[0]}" in words


def settings_of(*arguments):
    return settings_from(parse(["train", *arguments]))


def test_options_become_settings():
    from fcn_numpy.training import SEGMENTERS, Settings

    plain = Settings()
    assert settings_of() == plain
    assert settings_of("--heavy") == plain.heavy_learning()
    assert settings_of(
        "--batch", "1", "--momentum", "0.99", "--reduction", "sum"
    ) == plain.heavy_learning()
    assert settings_of("--batch", "20") == plain.regrouped(batch=20)
    assert settings_of("--momentum", "0") == plain.regrouped(momentum=0.0)
    sampled = plain.with_stages(*SEGMENTERS, loss_sampling=0.5)
    assert settings_of("--loss-sampling", "0.5") == sampled
    assert settings_of("--quick", "--heavy") == plain.quick().heavy_learning()
    assert settings_of("--control") == plain.control()
    assert settings_of("--control", "--heavy") == plain.heavy_learning().control()
    doubled, heavy = settings_of("--heavy", "--lr-factor", "2"), plain.heavy_learning()
    assert [s.lr for s in doubled.stages] == pytest.approx([2 * s.lr for s in heavy.stages])


def test_a_control_is_trained_scored_and_used_like_any_run(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--quick", "--control", "--out", str(out)]) == 0
    words = capsys.readouterr().out
    assert re.search(r"fcn32s +step +16/16 ", words) and "fcn16s" not in words
    assert {"fcn32s.npz", "predictions.png", "curves.png"} <= {p.name for p in out.iterdir()}
    assert main(["evaluate", str(out)]) == 0
    table = capsys.readouterr().out
    assert "fcn32s" in table and "fcn16s" not in table
    assert main(["train", "--resume", "--out", str(out)]) == 0
    assert words.endswith(capsys.readouterr().out)


def test_heavy_excludes_what_it_sets(tmp_path, capsys):
    words = failed(
        capsys, "train", "--quick", "--heavy", "--momentum", "0.9",
        "--out", str(tmp_path / "run"),
    )
    assert "got --momentum too" in words
    assert not (tmp_path / "run").exists()


def test_train_heavily_on_sampled_losses(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(
        ["train", "--quick", "--heavy", "--loss-sampling", "0.5", "--out", str(out)]
    ) == 0
    words = capsys.readouterr().out
    assert re.search(r"fcn8s +step +12/12 +loss \d\.\d+ ", words)
    with Image.open(out / "curves.png") as image:
        assert min(image.size) > 300


def test_resume_of_nothing(tmp_path, capsys):
    assert "holds no run" in failed(capsys, "train", "--resume", "--out", str(tmp_path / "no"))


def test_divergence_is_one_line(tmp_path, capsys):
    words = failed(
        capsys, "train", "--quick", "--lr-factor", "1e30", "--out", str(tmp_path / "run")
    )
    assert "lower learning rate" in words


# Trains, and presses Ctrl-C at the first checkpoint.
INTERRUPTED = """
import os, signal, sys, threading, time
from fcn_numpy.cli import main

def press():
    while not os.path.exists(os.path.join(sys.argv[1], "checkpoint.npz")):
        time.sleep(0.01)
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGINT)  # as a terminal does: to all processes of the group
    else:
        signal.raise_signal(signal.SIGINT)

threading.Thread(target=press, daemon=True).start()
sys.exit(main(["train", "--quick", "--out", sys.argv[1]]))
"""


def test_ctrl_c_saves_and_says_how_to_go_on(run, tmp_path):
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(out)], env=ENVIRONMENT, capture_output=True,
        text=True, timeout=300, start_new_session=True,  # a group that the tests are not in
    )
    assert done.returncode == 130 and not done.stderr
    assert "saved" in done.stdout
    assert f"fcn-numpy train --resume --out {out}" in done.stdout
    assert main(["train", "--resume", "--out", str(out)]) == 0
    assert (out / "fcn8s.npz").read_bytes() == (run / "fcn8s.npz").read_bytes()


def test_evaluate_repeats_the_table(run, capsys):
    assert main(["evaluate", str(run)]) == 0
    table = capsys.readouterr().out
    assert len(table.splitlines()) == 4
    assert main(["evaluate", str(run), "--images", "2", "--seed", "5"]) == 0
    assert capsys.readouterr().out != table


def test_evaluate_without_a_run(tmp_path, capsys):
    assert "holds no run" in failed(capsys, "evaluate", str(tmp_path))


def test_predict_writes_labels_an_overlay_and_a_legend(run, tmp_path, capsys):
    images, _ = data.toy_shapes(1, 96, 3)
    data.write_image(tmp_path / "a.png", images[0])
    Image.new("L", (70, 33), 90).save(tmp_path / "gray.jpg")
    out = tmp_path / "out"
    assert main([
        "predict", "--weights", str(run / "fcn8s.npz"), str(tmp_path / "a.png"),
        str(tmp_path / "gray.jpg"), "--out", str(out),
    ]) == 0
    assert "a.png: background" in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == [
        f"{stem}_{kind}.png" for stem in ("a", "gray") for kind in ("labels", "legend", "overlay")
    ]
    with Image.open(out / "gray_labels.png") as image:
        assert (image.mode, image.size) == ("P", (70, 33))
        assert np.asarray(image).max() <= 3
    with Image.open(out / "a_overlay.png") as image:
        assert (image.mode, image.size) == ("RGB", (96, 96))


def model_of_one_class(folder, n_class=3):
    """Save weights that see class 1 in every pixel; return their path."""
    model = FCN8s(n_class, TINY, rng=np.random.default_rng(0))
    model.score_fr.bias.data[1] = 5
    weights.save(folder / "w.npz", model.state_dict())
    return folder / "w.npz"


def test_predict_takes_names_and_colors_of_classes(tmp_path, capsys):
    path = model_of_one_class(tmp_path)
    Image.new("RGB", (64, 50), "gray").save(tmp_path / "x.png")
    out = tmp_path / "out"
    command = ["predict", "--weights", str(path), str(tmp_path / "x.png"), "--out", str(out)]
    assert main(command) == 0
    assert "x.png: class 1 100%" in capsys.readouterr().out
    assert main([*command, "--classes", "background,cat, dog"]) == 0
    assert "x.png: cat 100%" in capsys.readouterr().out
    (tmp_path / "classes.csv").write_text("name,red,green,blue\na,0,0,0\nb,9,8,7\nc,1,1,1\n")
    assert main([*command, "--scores"]) == 0
    assert "x.png: b 100%" in capsys.readouterr().out
    with Image.open(out / "x_labels.png") as image:
        assert (np.asarray(image) == 1).all()
        assert np.asarray(image.convert("RGB"))[0, 0].tolist() == [9, 8, 7]
    scores = np.load(out / "x_scores.npy")
    assert (scores.dtype, scores.shape) == (np.float32, (3, 50, 64))
    assert (scores.argmax(axis=0) == 1).all()
    words = failed(capsys, *command, "--classes", "background,cat")
    assert "weights for 2 classes, got score_fr.weight for 3" in words


def test_predict_segments_the_others_if_one_image_is_broken(tmp_path, capsys):
    path = model_of_one_class(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    Image.new("RGB", (64, 64)).save(tmp_path / "good.png")
    out = tmp_path / "out"
    names = [str(tmp_path / name) for name in ("bad.png", "missing.png", "good.png")]
    assert main(["predict", "--weights", str(path), "--out", str(out), *names]) == 1
    words, complaints = capsys.readouterr()
    assert "good.png: class 1 100%" in words
    lines = complaints.splitlines()
    assert len(lines) == 2
    assert "bad.png: it is not an image" in lines[0]
    assert lines[1] == f"fcn-numpy predict: error: No such file or directory: {names[1]}"
    assert sorted(p.name for p in out.iterdir()) == [
        "good_labels.png", "good_legend.png", "good_overlay.png"
    ]
    assert "bad.png" in failed(
        capsys, "predict", "--weights", str(path), "--out", str(out), names[0], status=1
    )


def test_predict_refuses_what_is_no_weights(tmp_path, capsys):
    image = tmp_path / "a.png"
    Image.new("RGB", (64, 64)).save(image)
    text = tmp_path / "w.npz"
    text.write_text("no")
    assert "w.npz" in failed(capsys, "predict", "--weights", str(text), str(image))
    weights.save(text, {"x": np.zeros(3)})
    words = failed(capsys, "predict", "--weights", str(text), str(image))
    assert "w.npz: expected the weights of an FCN" in words


def test_the_file_s_name_says_at_once(tmp_path):
    state = FCN8s(3, TINY, rng=np.random.default_rng(0)).state_dict()
    for name, kind in (("fcn8s.npz", FCN8s), ("FCN8s-AtOnce_from_x.npz", FCN8sAtOnce)):
        weights.save(tmp_path / name, state)
        assert type(from_file(tmp_path / name)) is kind


def test_two_images_of_one_name(run, tmp_path, capsys):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (64, 64)).save(tmp_path / folder / "x.png")
    words = failed(
        capsys, "predict", "--weights", str(run / "fcn8s.npz"),
        str(tmp_path / "a" / "x.png"), str(tmp_path / "b" / "x.png"),
    )
    assert "collide" in words


def test_gradcheck_table(capsys):
    assert main(["gradcheck", "ReLU", "conv2d"]) == 0
    words = capsys.readouterr().out
    assert re.search(r"^relu +\d\.\de-\d\d +\d+ +\d+  elements$", words, re.M)
    assert "2 passed, 0 failed." in words


def test_gradcheck_fails_with_status_1(capsys, monkeypatch):
    from fcn_numpy.cli import gradcases
    from fcn_numpy.nn import ReLU

    class Wrong(ReLU):
        def backward(self, grad):
            return 1.01 * super().backward(grad)

    def case(rng):
        return Wrong(), (rng.standard_normal((3, 4)),)

    monkeypatch.setitem(gradcases.CASES, "wrong", case)
    assert main(["gradcheck", "wrong", "relu"]) == 1
    words = capsys.readouterr().out
    assert re.search(r"^wrong +FAILED: the gradient of input 0 at \(\d, \d\) is", words, re.M)
    assert "1 passed, 1 failed." in words


def test_gradcheck_of_something_unknown(capsys):
    words = failed(capsys, "gradcheck", "nonsense")
    assert "expected NAME to be one of conv2d" in words and "got 'nonsense'" in words


def test_every_layer_case_passes(capsys):
    from fcn_numpy.cli import gradcases

    assert main(["gradcheck", *gradcases.LAYERS]) == 0
    assert f"{len(gradcases.LAYERS)} passed, 0 failed." in capsys.readouterr().out


def test_summary_of_the_paper(capsys):
    """Table 1 of the paper: FCN-VGG16 has 134 M parameters, receptive field 404, stride 32."""
    assert main(["summary", "fcn32s"]) == 0
    words = capsys.readouterr().out
    # Upsampling by 32 at once has 1.8 M of them, zeros and tents.
    assert re.search(r"^parameters +136,\d{3},\d{3}", words, re.M)
    assert re.search(r"^receptive field +404 ", words, re.M)
    assert re.search(r"^stride +32 ", words, re.M)
    assert re.search(r"^crop offsets +crop 19$", words, re.M)
    assert re.search(r"^fc6 +Conv2d +4096x8x8 +32 +404 +102,764,544 ", words, re.M)


def test_summary_of_the_paper_s_best_network(capsys):
    """What table 1 and figure 3 say of it, and what each layer costs, by the formula."""
    assert main(["summary", "fcn8s", "--size", "500", "375"]) == 0
    words = capsys.readouterr().out
    assert re.search(r"^parameters +134,489,759 \(134\.5 M\)$", words, re.M)
    assert re.search(r"^receptive field +404 ", words, re.M)
    assert re.search(r"^stride +32 ", words, re.M)
    assert re.search(r"^crop offsets +crop_pool4 5, crop_pool3 9, crop 31$", words, re.M)
    rows = {line.split()[0]: line.split() for line in words.splitlines() if line.strip()}
    for name, channels, kernel, scores in (
        ("conv1_1", 3, 3, None), ("conv4_3", 512, 3, None), ("fc6", 512, 7, None),
        ("fc7", 4096, 1, None), ("score_pool3", 256, 1, 21),
    ):
        filters, height, width = map(int, rows[name][2].split("x"))
        assert scores is None or filters == scores
        work = filters * height * width * channels * kernel**2
        assert rows[name][-1] == f"{work:,}"
    total = sum(
        int(row[-1].replace(",", "")) for row in rows.values()
        if row[1] in ("Conv2d", "ConvTranspose2d")
    )
    assert rows["multiply-adds"][1] == f"{total:,}"


def test_summary_of_a_size(capsys):
    assert main(["summary", "FCN-8s", "--backbone", "tiny", "--size", "64", "128"]) == 0
    words = capsys.readouterr().out
    assert re.search(r"^crop +Crop +21x64x128 ", words, re.M)
    assert "crop offsets     crop_pool4 1, crop_pool3 1, crop 12" in words


def test_summary_of_a_size_that_does_not_fit(capsys):
    words = failed(capsys, "summary", "fcn8s", "--backbone", "tiny", "--size", "100", "64")
    assert "113 to 128" in words


def test_summary_of_something_unknown(capsys):
    assert "fcn32s, fcn16s" in failed(capsys, "summary", "resnet")


def help_of(capsys, *command):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    words = help_of(capsys, command)
    assert f"usage: fcn-numpy {command}" in words
    assert max(map(len, words.splitlines())) <= 100


def test_help_lists_the_commands(capsys):
    words = help_of(capsys)
    for command, purpose in COMMANDS.items():
        assert re.search(rf"^ +{command}\s+{purpose}$", words, re.M)


def test_help_of_gradcheck_lists_all_names(capsys):
    from fcn_numpy.cli import gradcases

    words = help_of(capsys, "gradcheck")
    for name in gradcases.CASES:
        assert re.search(rf"[ \n]{name}[,.]", words)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_no_models(argument):
    code = (
        "import sys, fcn_numpy.cli as cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "finally: assert not {'fcn_numpy.models', 'fcn_numpy.training'} & sys.modules.keys()"
    )
    subprocess.run(
        [sys.executable, "-c", code, argument], env=ENVIRONMENT, check=True, capture_output=True
    )


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["train", "--seed", "-1"], ["train", "--seed", "x"],
    ["train", "--lr-factor", "0"], ["train", "--lr-factor", "nan"], ["summary"],
    ["train", "--batch", "0"], ["train", "--momentum", "1"], ["train", "--momentum", "-0.1"],
    ["train", "--reduction", "max"], ["train", "--loss-sampling", "0"],
    ["train", "--loss-sampling", "1.1"], ["train", "--loss-sampling", "nan"],
    ["summary", "fcn8s", "--size", "0", "3"], ["predict", "x.png"], ["evaluate"], ["export", "x"],
    ["evaluate", "--data", "x"], ["evaluate", "x", "--data", "y"], ["train", "--crop", "-1"],
    ["train", "--validation", "1"], ["train", "--backbone", "resnet"],
])
def test_a_wrong_request_is_one_line(arguments, capsys):
    assert "error:" in failed(capsys, *arguments)


def test_module_and_version():
    result = subprocess.run(
        [sys.executable, "-m", "fcn_numpy", "--version"],
        env=ENVIRONMENT, capture_output=True, text=True, check=True,
    )
    assert re.fullmatch(r"fcn-numpy \d+\.\d+\.\d+\n", result.stdout)


def test_nothing_but_plotting_imports_matplotlib():
    code = (
        "import sys; import fcn_numpy.training, fcn_numpy.cli.train, fcn_numpy.cli.predict;"
        "sys.exit('matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True)


class Terminal:
    """A stream that says it is a terminal."""

    def __init__(self):
        self.written = []

    def isatty(self):
        return True

    def write(self, text):
        self.written.append(text)

    def flush(self):
        pass


def test_on_a_terminal_one_line_updates():
    from fcn_numpy.cli.progress import LiveLine, TrainingProgress
    from fcn_numpy.training import StepReport

    stream = Terminal()
    line = LiveLine(stream)
    progress = TrainingProgress(line)
    for step in range(1, 4):
        progress(StepReport("fcn8s", step, 3, 0.5, step * 10.0, 30.0, 10.0, 8))
    text = "".join(stream.written)
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text.startswith("\r")
    assert "step    3/3" in text
    assert "0:00 left" in text
    line.close()
    assert "".join(stream.written) == text


def test_text_follows_an_unfinished_line_on_a_line_of_its_own():
    from fcn_numpy.cli.progress import LiveLine, TrainingProgress
    from fcn_numpy.training import StepReport

    stream = Terminal()
    line = LiveLine(stream)
    line.close()
    assert not stream.written
    line.shown -= 1
    TrainingProgress(line)(StepReport("fcn8s", 1, 3, 0.5, 10.0, 30.0, 10.0, 8))
    line.close()
    text = "".join(stream.written)
    assert text.count("\n") == 1 and text.endswith("\n")
