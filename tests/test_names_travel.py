"""Names of classes travel with weights, and commands compare them."""

import json

import numpy as np
import pytest
from failing_command import failed
from labeled_folder import write_folder
from PIL import Image

from fcn_numpy import weights
from fcn_numpy.card import Card, save_network
from fcn_numpy.cli import main
from fcn_numpy.data import TOY_CLASSES, Classes, read_classes, write_image, write_labels
from fcn_numpy.models import TINY, FCN8s, FCN32s

PETS = Classes(("ground", "cat", "dog", "cow"), ((0, 0, 0), (9, 8, 7), (1, 1, 1), (2, 2, 2)))


def network(kind=FCN8s, biases=(0, 0, 9, 0)):
    """Return a network that sees "dog" everywhere."""
    model = kind(4, TINY, rng=np.random.default_rng(0))
    model.score_fr.bias.data[...] = biases
    return model


@pytest.fixture
def pets(tmp_path):
    save_network(tmp_path / "pets.npz", network(), Card(PETS))
    return tmp_path / "pets.npz"


@pytest.fixture
def image(tmp_path):
    Image.new("RGB", (64, 64), "gray").save(tmp_path / "x.png")
    return tmp_path / "x.png"


def color_of(path):
    with Image.open(path) as labels:
        return labels.convert("RGB").getpixel((5, 5))


@pytest.mark.parametrize("ending", ["npz", "safetensors", "pth", "pt"])
def test_exported_weights_know_their_classes(pets, image, tmp_path, capsys, ending):
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    out = deploy / f"w.{ending}"
    assert main(["export", "--weights", str(pets), str(out)]) == 0
    assert main(["predict", "--weights", str(out), str(image), "--out", str(tmp_path / "o")]) == 0
    assert "x.png: dog 100%" in capsys.readouterr().out
    assert color_of(tmp_path / "o" / "x_labels.png") == (1, 1, 1)


def test_onnx_knows_its_classes(pets, tmp_path):
    onnx = pytest.importorskip("onnx")
    assert main(["export", "--weights", str(pets), str(tmp_path / "w.onnx")]) == 0
    said = {p.key: p.value for p in onnx.load(tmp_path / "w.onnx").metadata_props}
    assert json.loads(said["classes"]) == list(PETS.names)
    assert json.loads(said["colors"]) == [list(color) for color in PETS.colors]
    assert "RGB from 0 to 1" in said["input"]


def test_the_sizes_that_onnx_takes_are_said(pets, tmp_path, capsys):
    pytest.importorskip("onnx")
    assert main(["export", "--weights", str(pets), str(tmp_path / "w.onnx")]) == 0
    assert "whose height and width are 49 to 64, 81 to 96, " in capsys.readouterr().out


def test_a_classes_csv_with_other_classes_stays(pets, tmp_path, capsys):
    """It may be the list of a folder of masks."""
    (tmp_path / "classes.csv").write_text("name,number\nground,0\nthing,255\n")
    for options in ([], ["--overwrite"]):
        words = failed(capsys, "export", "--weights", pets, tmp_path / "w.pth", *options)
        assert "classes.csv exists, and is not the list of this network's classes" in words
    assert (tmp_path / "classes.csv").read_text().endswith("thing,255\n")
    assert not (tmp_path / "w.pth").exists()


def test_unknown_classes_are_numbers(image, tmp_path, capsys):
    weights.save(tmp_path / "w.pth", network().state_dict())
    path = str(tmp_path / "w.pth")
    assert main(["predict", "--weights", path, str(image), "--out", str(tmp_path / "o")]) == 0
    assert "x.png: class 2 100%" in capsys.readouterr().out
    assert main(["export", "--weights", path, str(tmp_path / "w.npz")]) == 0
    said = capsys.readouterr().out
    assert "The weights do not name their classes; use --classes to name them." in said
    named = tmp_path / "named.npz"
    command = ["export", "--weights", path, str(named), "--classes", "ground,cat,dog,cow"]
    assert main(command) == 0
    assert json.loads(weights.read_metadata(named)["classes"]) == list(PETS.names)


def test_a_run_names_its_weights(tmp_path, capsys):
    root = write_folder(tmp_path / "own", 4, listed=True)
    out = tmp_path / "run"
    assert main(["train", "--quick", "--data", str(root), "--stretch", "--out", str(out)]) == 0
    for name in ("classifier", "fcn32s", "fcn16s", "fcn8s"):
        said = weights.read_metadata(out / f"{name}.npz")
        assert json.loads(said["classes"]) == list(TOY_CLASSES.names)
        assert json.loads(said["stretch"]) == [1.0, 99.0]
    assert json.loads((out / "config.json").read_text())["data"]["stretch"] == [1.0, 99.0]
    (out / "classes.csv").unlink()  # it is not needed for names
    image = root / "images" / "0.png"
    capsys.readouterr()
    assert main([
        "predict", "--weights", str(out / "fcn8s.npz"), str(image), "--out", str(tmp_path / "o")
    ]) == 0
    assert any(f"0.png: {name} " in capsys.readouterr().out for name in ["background"])


def test_images_are_stretched_as_the_weights_say(tmp_path):
    """Two images of one scene, one of them in a corner of the 16-bit range: the same scores."""
    path = tmp_path / "w.npz"
    model = network()
    model.score_pool3.weight.data[...] = np.random.default_rng(1).normal(0, 1, (4, 32, 1, 1))
    save_network(path, model, Card(PETS, (0.0, 100.0)))
    values = np.random.default_rng(0).integers(0, 256, (64, 64))
    values[0, :2] = 0, 255
    for name, data in (("wide", values * 257), ("narrow", values + 1000)):
        Image.fromarray(data.astype(np.uint16)).save(tmp_path / f"{name}.png")
    assert main([
        "predict", "--weights", str(path), str(tmp_path / "wide.png"),
        str(tmp_path / "narrow.png"), "--scores", "--out", str(tmp_path / "o"),
    ]) == 0
    wide, narrow = (np.load(tmp_path / "o" / f"{n}_scores.npy") for n in ("wide", "narrow"))
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=1e-3)
    assert np.ptp(wide[0]) > 1


def test_an_image_that_should_be_stretched_is_named(pets, tmp_path, capsys):
    values = np.random.default_rng(0).integers(100, 600, (64, 64)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "narrow.png")
    command = ["predict", "--weights", str(pets), str(tmp_path / "narrow.png"), "--out"]
    assert main([*command, str(tmp_path / "a")]) == 0
    words = capsys.readouterr().err
    assert "narrow.png: the image uses less than a tenth of the 16-bit range" in words
    assert main([*command, str(tmp_path / "b"), "--stretch"]) == 0
    assert "were trained on images that were not stretched" in capsys.readouterr().err


def test_a_list_in_another_order_reorders_the_scores(pets, image, tmp_path, capsys):
    command = ["predict", "--weights", str(pets), str(image), "--out", str(tmp_path / "o")]
    assert main([*command, "--scores", "--classes", "dog,ground,cow,cat"]) == 0
    assert "x.png: dog 100%" in capsys.readouterr().out
    with Image.open(tmp_path / "o" / "x_labels.png") as labels:
        assert (np.asarray(labels) == 0).all()  # the number of dog in the list
    assert (np.load(tmp_path / "o" / "x_scores.npy").argmax(axis=0) == 0).all()
    words = failed(capsys, *command, "--classes", "dog,ground,cow,horse")
    assert "pets.npz: expected the same 4 classes, dog, ground, cow, horse; got 4: ground" in words


def write_pets(folder, classes):
    """Write images whose masks say dog everywhere but in a corner of cat, in another order."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    labels = np.full((64, 64), classes.names.index("dog"), np.uint8)
    labels[:8, :8] = classes.names.index("cat")
    for n in range(3):
        Image.new("RGB", (64, 64), "gray").save(folder / "images" / f"{n}.png")
        write_labels(folder / "masks" / f"{n}.png", labels, classes)
    (folder / "classes.csv").write_text("name\n" + "\n".join(classes.names) + "\n")
    return folder


def test_evaluate_compares_by_name(pets, tmp_path, capsys):
    other = Classes.named(["dog", "cow", "ground", "cat"])
    root = write_pets(tmp_path / "data", other)
    assert main(["evaluate", "--weights", str(pets), "--data", str(root)]) == 0
    said = capsys.readouterr().out
    assert "has the classes in a different order: matching by name" in said
    table = said.splitlines()[-2:]
    assert table[0].split()[-8:] == ["IU", "dog", "IU", "cow", "IU", "ground", "IU", "cat"]
    assert table[1].split()[-4:] == ["0.984", "nan", "nan", "0.000"]
    (root / "classes.csv").write_text("name\ndog\nhorse\nground\ncat\n")
    words = failed(capsys, "evaluate", "--weights", pets, "--data", root)
    assert "pets.npz: expected the same 4 classes, dog, horse, ground, cat; got 4: ground" in words


def test_evaluate_does_not_guess_what_stands_for_a_class_in_masks(pets, tmp_path, capsys):
    """The weights name classes, but not the numbers or colors that masks have for them."""
    root = write_pets(tmp_path / "data", PETS)
    (root / "classes.csv").unlink()
    words = failed(capsys, "evaluate", "--weights", pets, "--data", root)
    assert "expected the names of the classes: there is no" in words
    command = ["evaluate", "--weights", str(pets), "--data", str(root)]
    assert main([*command, "--classes", "ground,cat,dog,cow"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[-4:] == ["nan", "0.000", "0.984", "nan"]


def first_scores(out, start, root, capsys):
    """Return the first scores of a run that starts from weights and learns nothing."""
    command = [
        "train", "--quick", "--data", str(root), "--pretrained", str(start), "--out", str(out),
        "--lr-factor", "1e-30",
    ]
    assert main(command) == 0
    return weights.load(out / "fcn32s.npz")["score_fr.bias"], capsys.readouterr().err


def test_score_layers_are_taken_over_by_name(tmp_path, capsys):
    start = tmp_path / "start.npz"
    save_network(start, network(FCN32s, (1, 2, 3, 4)), Card(PETS))
    root = write_pets(tmp_path / "data", Classes.named(["dog", "cow", "ground", "cat"]))
    taken, errors = first_scores(tmp_path / "a", start, root, capsys)
    np.testing.assert_array_equal(taken, [3, 4, 1, 2])
    assert "score layers" not in errors
    other = write_pets(tmp_path / "other", Classes.named(["dog", "horse", "ground", "cat"]))
    taken, errors = first_scores(tmp_path / "b", start, other, capsys)
    np.testing.assert_allclose(taken, 0, rtol=0, atol=1e-20)
    assert "only here: horse; only there: cow" in errors
    weights.save(tmp_path / "nameless.npz", network(FCN32s).state_dict())
    taken, errors = first_scores(tmp_path / "c", tmp_path / "nameless.npz", root, capsys)
    np.testing.assert_allclose(taken, 0, rtol=0, atol=1e-20)
    assert "start at zero: the file does not name its classes" in errors


def test_what_this_program_has_not_written_stays(pets, image, tmp_path, capsys):
    out = tmp_path / "o"
    out.mkdir()
    Image.new("L", (64, 64), 1).save(out / "x_labels.png")  # the truth
    before = (out / "x_labels.png").read_bytes()
    command = ["predict", "--weights", str(pets), str(image), "--out", str(out)]
    words = failed(capsys, *command, status=1)
    assert "x_labels.png exists, and was not written by this program" in words
    assert (out / "x_labels.png").read_bytes() == before and len(list(out.iterdir())) == 1
    assert main([*command, "--overwrite"]) == 0
    assert main([*command, "--scores"]) == 0  # now they are its own
    assert main([*command, "--scores"]) == 0
    np.save(out / "x_scores.npy", np.zeros((64, 64)))  # an array of somebody else
    assert "x_scores.npy exists" in failed(capsys, *command, "--scores", status=1)
    (out / "x_scores.npy").write_text("mine")
    assert "x_scores.npy exists" in failed(capsys, *command, "--scores", status=1)


def test_export_replaces_nothing_in_silence(pets, tmp_path, capsys):
    for name in ("w.npz", "w.pth"):
        (tmp_path / name).write_text("mine")
        words = failed(capsys, "export", "--weights", pets, tmp_path / name)
        assert f"{name} already exists" in words
        assert (tmp_path / name).read_text() == "mine"
        assert main(["export", "--weights", str(pets), str(tmp_path / name), "--overwrite"]) == 0
    assert read_classes(tmp_path / "classes.csv")[0] == PETS


def test_folders_and_patterns_mean_the_images_in_them(pets, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "more/c.png"):
        Image.new("RGB", (64, 64)).save(folder / name, format="PNG")
    (folder / "notes.txt").write_text("none")
    (folder / "c.notes").write_text("none")
    command = ["predict", "--weights", str(pets), "--out", str(folder)]
    assert main([*command, str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.index("a.JPG") < said.index("b.png") and "c.png" not in said
    # A second time its own results are no images.
    assert main([*command, str(folder)]) == 0
    said, errors = capsys.readouterr()
    assert said.count(": dog") == 2 and "6 of 8 images in" in errors
    monkeypatch.chdir(folder)
    assert main(["predict", "--weights", str(pets), "--out", "o", "*/c.png", "[abc].*"]) == 0
    assert capsys.readouterr().out.count(": dog") == 3
    words = failed(capsys, "predict", "--weights", pets, "--out", "o", "none/*.png", status=1)
    assert "none/*.png: expected images, found none" in words


def test_images_that_the_library_wrote_are_images(pets, tmp_path, capsys):
    (tmp_path / "drawn").mkdir()
    write_image(tmp_path / "drawn" / "a.png", np.zeros((3, 40, 40), np.float32))
    command = ["predict", "--weights", str(pets), str(tmp_path / "drawn"), "--out"]
    assert main([*command, str(tmp_path / "o")]) == 0
    assert "a.png: dog 100%" in capsys.readouterr().out


def test_given_names_need_no_list_beside_the_weights(image, tmp_path, capsys):
    weights.save(tmp_path / "w.pth", network().state_dict())
    (tmp_path / "classes.csv").write_text("id,label\n1,cat\n")
    command = ["predict", "--weights", str(tmp_path / "w.pth"), str(image), "--out"]
    words = failed(capsys, *command, tmp_path / "o")
    assert "classes.csv is not a list of classes" in words
    assert main([*command, str(tmp_path / "o"), "--classes", "a,b,c,d"]) == 0
    assert "x.png: c 100%" in capsys.readouterr().out
