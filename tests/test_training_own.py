"""Training on images of a folder, from the command line to the scores."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from failing_command import failed
from labeled_folder import NAMES, write_folder
from PIL import Image

from fcn_numpy import training
from fcn_numpy.cli import main, parse
from fcn_numpy.cli.train import own_data, settings_from
from fcn_numpy.data import TOY_CLASSES
from fcn_numpy.training import (
    SEGMENTERS,
    OwnData,
    Settings,
    TrainingStopped,
    balanced_class_weights,
    train,
)

QUICK = Settings().quick().with_stages(*SEGMENTERS, dropout=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("own"), listed=True)


def test_train_and_evaluate_on_a_folder(folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--quick", "--data", str(folder), "--out", str(out)]) == 0
    words = capsys.readouterr().out
    assert "Reading 5 images to train on and 1 to score on." in words
    shares = re.findall(r"^  \w+ +([0-9.]+)% +([0-9.]+)%$", words, re.M)
    assert len(shares) == 4
    for part in zip(*shares):
        assert sum(map(float, part)) == pytest.approx(100, abs=0.1)
    table = words[words.index("        pixel acc."):].splitlines()[:4]
    assert sorted(p.name for p in out.iterdir()) == [
        "classes.csv", "classifier.npz", "config.json", "curves.png", "fcn16s.npz", "fcn32s.npz",
        "fcn8s.npz", "history.csv", "predictions.png", "scores.json",
    ]
    with Image.open(out / "predictions.png") as image:
        assert min(image.size) > 300
    assert main(["evaluate", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == table
    # The same image by itself.
    held_out = json.loads((out / "config.json").read_text())["data"]["held_out"]
    alone = tmp_path / "alone"
    for part in ("images", "masks"):
        (alone / part).mkdir(parents=True)
        name = Path(held_out[0][0]).name
        (alone / part / name).write_bytes((folder / part / name).read_bytes())
    weights_of = str(out / "fcn8s.npz")
    assert main([
        "evaluate", "--weights", weights_of, "--data", str(alone), "--classes", NAMES
    ]) == 0
    words = capsys.readouterr().out.splitlines()
    assert words[:2] == ["1/1 checked", f"1/1 {Path(name).stem}"]
    assert words[-1].split() == table[3].split()


def test_the_same_seed_gives_the_same_bits_also_when_stopped(folder, tmp_path):
    def data():
        return OwnData.open(folder, seed=3)

    settings = dataclasses.replace(QUICK, size=64).with_stages(
        *SEGMENTERS, class_weights=(0.5, 1.0, 2.0, 1.0)
    )
    train(tmp_path / "a", settings, data=data())
    steps = []
    with pytest.raises(TrainingStopped):
        train(
            tmp_path / "b", settings, data=data(), report=steps.append,
            should_stop=lambda: len(steps) >= 15,
        )
    train(tmp_path / "b", resume=True)
    for name in ("history.csv", "fcn8s.npz", "scores.json", "config.json", "classes.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_run_whose_images_are_gone_is_not_resumed(tmp_path, part):
    root = write_folder(tmp_path / "own", 4)
    data = OwnData.open(root, classes=TOY_CLASSES)
    steps = []
    with pytest.raises(TrainingStopped):
        train(
            tmp_path / "run", QUICK, data=data, report=steps.append,
            should_stop=lambda: len(steps) >= 2,
        )
    for path in getattr(data, part).pairs[0]:
        path.unlink()
    with pytest.raises(ValueError, match="not the ones that the run was started with"):
        train(tmp_path / "run", resume=True)


def test_voc_has_lists_of_its_own(tmp_path, capsys):
    root = write_folder(tmp_path / "voc", 4, "JPEGImages", "SegmentationClass")
    for path in (root / "JPEGImages").iterdir():
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"), quality=95)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n2\n3\n")
    (lists / "val.txt").write_text("1\n")
    data = OwnData.open(root)
    assert (data.train.names, data.test.names) == (["0", "2", "3"], ["1"])
    again = OwnData.found_again(data.source, data.classes)
    assert (again.train, again.test) == (data.train, data.test)
    drawn = OwnData.open(root, validation=0.5, seed=1)
    assert sorted(drawn.train.names + drawn.test.names) == ["0", "2", "3"]
    again = OwnData.found_again(drawn.source, drawn.classes)
    assert (again.train, again.test) == (drawn.train, drawn.test)
    out = tmp_path / "run"
    assert main(["train", "--quick", "--data", str(root), "--out", str(out)]) == 0
    words = capsys.readouterr().out
    assert re.search(r"^aeroplane( +(\d\.\d{3}|nan)){3}$", words, re.M)
    weights_of = str(out / "fcn16s.npz")
    assert main(["evaluate", "--weights", weights_of, "--data", str(root)]) == 0
    assert "1/1 1\n" in capsys.readouterr().out
    assert main([
        "evaluate", "--weights", weights_of, "--data", str(root), "--split", "train",
        "--images", "2",
    ]) == 0
    assert "2/2 2\n" in capsys.readouterr().out


def test_faults_are_all_told_before_anything_is_written(folder, tmp_path, capsys):
    root = write_folder(tmp_path / "own", 4)
    (root / "masks" / "1.png").unlink()
    Image.new("L", (60, 96), 9).save(root / "masks" / "0.png")
    out = tmp_path / "run"
    err = failed(capsys, "train", "--data", root, "--classes", NAMES, "--out", out)
    lines = err.splitlines()
    assert lines[0] == "fcn-numpy train: error: 2 faults in the images and masks:"
    assert "1.png has no mask" in lines[1]
    assert "got 9 in row 0, column 0, and 5759 more" in lines[2]
    assert len(lines) == 3
    assert not out.exists()


def test_faults_of_both_lists_of_voc(tmp_path):
    root = write_folder(tmp_path / "voc", 2, "JPEGImages", "SegmentationClass")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n2\n")
    (lists / "val.txt").write_text("1\n3\n")
    with pytest.raises(ValueError, match=(
        r"(?s)4 faults.*train\.txt: line 2: .*2\.jpg is missing"
        r".*val\.txt: line 2: .*3\.jpg is missing"
    )):
        OwnData.open(root).check()


def test_masks_that_show_objects_as_255_are_a_fault(tmp_path, capsys):
    """The commonest masks of two classes, whose objects would all be ignored."""
    root = write_folder(tmp_path / "own", 3)
    for path in (root / "masks").iterdir():
        with Image.open(path) as image:
            pixels = np.asarray(image)
        Image.fromarray(np.where(pixels, 255, 0).astype(np.uint8)).save(path)
    out = tmp_path / "run"
    words = failed(capsys, "train", "--data", root, "--classes", "ground,thing", "--out", out)
    assert "all pixels of all masks are ground (0) or ignored (255)" in words
    # By their colors they are what they look like.
    (root / "classes.csv").write_text("name,red,green,blue\nground,0,0,0\nthing,255,255,255\n")
    assert OwnData.open(root).counts[0].all()


def test_nothing_to_learn_from(tmp_path):
    root = write_folder(tmp_path / "own", 3)
    data = OwnData.open(root, classes=TOY_CLASSES)
    for _, mask in data.train.pairs:
        with Image.open(mask) as image:
            size = image.size
        Image.new("L", size, 255).save(mask)
    with pytest.raises(ValueError, match="no pixel of the images to train on has a class"):
        OwnData.open(root, classes=TOY_CLASSES).check()


def test_colored_masks_of_voc(tmp_path):
    root = write_folder(tmp_path / "voc", 4, "JPEGImages", "SegmentationClass")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n1\n2\n")
    (lists / "val.txt").write_text("3\n")
    for path in (root / "JPEGImages").iterdir():
        path.rename(path.with_suffix(".jpg"))
    for path in (root / "SegmentationClass").iterdir():
        with Image.open(path) as image:
            colored = image.convert("RGB")
        colored.save(path)
    for validation in (None, 0.4):
        data = OwnData.open(root, classes=TOY_CLASSES, colored=True, validation=validation)
        assert data.counts[0].all()
        again = OwnData.found_again(data.source, data.classes)
        assert (again.train, again.test) == (data.train, data.test)


def test_all_held_out_images_are_scored(tmp_path):
    """Whatever number of toy images the settings say."""
    root = write_folder(tmp_path / "own", 4)
    data = OwnData.open(root, classes=TOY_CLASSES, validation=0.6)
    assert len(data.test) == 2
    settings = dataclasses.replace(QUICK, n_test=1).with_stages(steps=1)
    scores = train(tmp_path / "run", settings, data=data)
    again = training.evaluate(tmp_path / "run")
    one = training.evaluate(tmp_path / "run", 1)
    for name, score in scores.items():
        np.testing.assert_array_equal(score.iu, again[name].iu)
    assert any(scores[name].pixel_accuracy != one[name].pixel_accuracy for name in scores)
    with pytest.raises(ValueError, match="expected no seed"):
        training.evaluate(tmp_path / "run", seed=3)


def settings_of(folder, *arguments):
    options = parse(["train", "--data", str(folder), *arguments])
    return settings_from(options, own_data(options))


def test_options_become_settings(folder):
    assert settings_of(folder) == Settings()
    assert settings_of(folder, "--no-flip").flip is False
    assert settings_of(folder, "--crop", "64").size == 64
    assert settings_of(folder, "--crop", "0").size is None
    weighted = settings_of(folder, "--class-weights", "1,2,0.5,4")
    assert weighted == Settings().with_stages(*SEGMENTERS, class_weights=(1, 2, 0.5, 4))
    start = str((folder / "w.npz").resolve())
    (folder / "w.npz").write_bytes(b"")
    pretrained = settings_of(folder, "--pretrained", start, "--steps-factor", "0.1")
    assert (pretrained.pretrained, pretrained.pretrained_on) == (start, "caffe")
    assert [(stage.name, stage.steps) for stage in pretrained.stages] == [
        ("fcn32s", 120), ("fcn16s", 20), ("fcn8s", 56)
    ]
    big = settings_of(
        folder, "--pretrained", start, "--backbone", "vgg16", "--pretrained-on", "torchvision"
    )
    assert big.pretrained_on == "torchvision"
    big = settings_of(folder, "--pretrained", start, "--backbone", "vgg16")
    (folder / "w.npz").unlink()
    assert big == Settings.vgg16(start)
    assert [(stage.lr, stage.batch) for stage in big.stages] == [(1e-10, 1), (1e-12, 1), (1e-14, 1)]
    assert big.size is None


def test_balanced_weights_are_the_median_frequency_over_each(folder):
    counts, _ = OwnData.open(folder).counts
    for name in SEGMENTERS:
        got = settings_of(folder, "--class-weights", "balanced").stage(name).class_weights
        np.testing.assert_allclose(got, np.median(counts) / counts)
        assert got == balanced_class_weights(counts)


def test_heavy_learning_on_whole_images_counts_their_pixels(folder):
    data = OwnData.open(folder)
    pixels = round(data.counts[0].sum() / len(data.train))
    plain = dataclasses.replace(Settings(), size=None)
    heavy = settings_of(folder, "--crop", "0", "--heavy")
    assert heavy == plain.heavy_learning(pixels)


@pytest.mark.parametrize(("arguments", "words"), [
    (["--class-weights", "1,2"], "'balanced' or 4 numbers of at least 0, got '1,2'"),
    (["--class-weights", "1,2,3,-1"], "4 numbers of at least 0"),
    (["--classes", "a,b"], "expected class numbers from 0 to 1"),
    (["--classes", "a,a,b,c"], "'a' twice"),
    (["--split", "train"], "expected a list of images"),
    (["--backbone", "vgg16"], "needs --pretrained FILE"),
    (["--pretrained", "no.npz"], "expected --pretrained to be a file, got no.npz"),
    (["--classes", "no.csv"], "No such file"),
    (["--classes", "a,b,c,Ignore"], "no class named 'Ignore'"),
    (["--class-weights", "0,0,0,0"], "a class weight above 0"),
    (["--pretrained-on", "caffe"], "is for --backbone vgg16"),
])
def test_what_cannot_be_done_is_said_before_anything_is_written(
    folder, tmp_path, capsys, arguments, words
):
    out = tmp_path / "run"
    assert words in failed(capsys, "train", "--data", folder, "--out", out, *arguments)
    assert not out.exists()


@pytest.mark.parametrize("arguments", [
    ["--classes", "a,b"], ["--crop", "64"], ["--validation", "0.5"], ["--pretrained", "x"],
    ["--class-weights", "balanced"], ["--backbone", "tiny"], ["--split", "val"], ["--no-flip"],
    ["--pretrained-on", "caffe"],
])
def test_options_for_own_images_need_a_folder(tmp_path, capsys, arguments):
    words = failed(capsys, "train", "--out", tmp_path / "run", *arguments)
    assert f"{arguments[0]} is for your own images" in words
    words = failed(capsys, "train", "--resume", "--out", tmp_path / "run", *arguments)
    assert f"keeps the settings of the run, got {arguments[0]}" in words


def test_a_run_is_named_after_its_folder_and_not_overwritten(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "runs" / folder.name
    out.mkdir(parents=True)
    (out / "config.json").write_text("{}")
    words = failed(capsys, "train", "--data", folder)
    assert f"{folder.name} holds a run already" in words
    assert "Reading" not in capsys.readouterr().out


def test_the_end_of_a_stage_is_kept(folder, tmp_path):
    """A run that ends right after a stage begins again with the next one."""
    steps = []

    def report(progress):
        steps.append(progress.stage)
        if len(steps) == 3:
            raise KeyboardInterrupt

    settings = dataclasses.replace(QUICK, checkpoint_every=50).with_stages(steps=1)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "a", settings, data=OwnData.open(folder), report=report)
    steps.clear()
    train(tmp_path / "a", resume=True, report=lambda progress: steps.append(progress.stage))
    assert steps == ["fcn16s", "fcn8s"]
    train(tmp_path / "b", settings, data=OwnData.open(folder))
    for name in ("history.csv", "fcn8s.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
