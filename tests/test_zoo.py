"""The authors' fifteen networks, each from a file as they published it, with nothing installed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from backbones import ThinAlexNet, ThinVGG16
from caffe_networks import NETWORKS, build, fill
from failing_command import failed
from labeled_folder import write_folder
from PIL import Image

from fcn_numpy import weights
from fcn_numpy.card import Card, card_of, save_network
from fcn_numpy.cli import main
from fcn_numpy.data import (
    CONTEXT_CLASSES,
    DATASETS,
    NYUD_CLASSES,
    SIFTFLOW_CLASSES,
    SIFTFLOW_GEOMETRY,
    VOC_CLASSES,
    Classes,
    read_image,
    write_image,
)
from fcn_numpy.models import BACKBONES, FCN, FCN8sAtOnce, from_file
from fcn_numpy.prediction import score_heads, score_image

# The names under which the authors published them; of the last but one, there are no weights.
FILES = {
    "voc-fcn32s": "fcn32s-heavy-pascal", "voc-fcn16s": "fcn16s-heavy-pascal",
    "voc-fcn8s": "fcn8s-heavy-pascal", "voc-fcn8s-atonce": "fcn8s-atonce-pascal",
    "voc-fcn-alexnet": "fcn-alexnet-pascal",
    **{f"pascalcontext-fcn{n}s": f"pascalcontext-fcn{n}s-heavy" for n in (32, 16, 8)},
    **{f"siftflow-fcn{n}s": f"siftflow-fcn{n}s-heavy" for n in (32, 16, 8)},
    "nyud-fcn32s-color": "nyud-fcn32s-color-heavy", "nyud-fcn32s-hha": "nyud-fcn32s-hha-heavy",
    "nyud-fcn32s-color-d": "nyud-fcn32s-color-d",
    "nyud-fcn32s-color-hha": "nyud-fcn32s-color-hha-heavy",
}
VOC = (104.00699, 116.66877, 122.67892)
NYUD, HHA = (116.190, 97.203, 92.318), (132.431, 94.076, 118.477)
SIFTFLOW = (114.578, 115.294, 108.353)


@pytest.fixture(autouse=True)
def thin(monkeypatch):
    monkeypatch.setitem(BACKBONES, "vgg16", ThinVGG16)
    monkeypatch.setitem(BACKBONES, "alexnet", ThinAlexNet)


def network(name):
    model = build(name, ThinVGG16, ThinAlexNet)
    fill(model, np.random.default_rng(0))
    return model


def published(folder, name, filename=None):
    """Write a network's weights as the authors' file; return its path and the network."""
    model = network(name)
    state = model.state_dict()
    if name == "voc-fcn8s-atonce":  # Caffe's Scale layers store a factor for each channel
        state["scale_pool4.weight"] = np.full(6, 0.01, np.float32)
        state["scale_pool3.weight"] = np.full(6, 0.0001, np.float32)
    path = folder / f"{filename or FILES[name]}.caffemodel"
    weights.save(path, state)
    return path, model


@pytest.fixture
def image(tmp_path):
    rng = np.random.default_rng(1)
    write_image(tmp_path / "room.png", rng.random((3, 50, 61), dtype=np.float32))
    return tmp_path / "room.png"


@pytest.fixture
def hha(tmp_path):
    rng = np.random.default_rng(2)
    write_image(tmp_path / "hha.png", rng.random((3, 50, 61), dtype=np.float32))
    return tmp_path / "hha.png"


@pytest.fixture
def depth(tmp_path):
    values = np.random.default_rng(3).integers(500, 9000, (50, 61)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "depth.png")
    return tmp_path / "depth.png"


def bgr(path, mean):
    """Read an image as the authors' data layers do."""
    with Image.open(path) as opened:
        values = np.asarray(opened, np.float32)[:, :, ::-1] - np.array(mean, np.float32)
    return values.transpose(2, 0, 1)[None]


def stored(path, mean):
    return bgr(path, mean[::-1])[:, ::-1]


def log_of(path):
    with Image.open(path) as opened:
        return np.log(np.asarray(opened, np.float32))[None, None] - np.float32(7.844)


# --- Which network a file holds ---------------------------------------------------------------


def test_all_fifteen_are_here():
    assert FILES.keys() == NETWORKS.keys() and len(FILES) == 15


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_tells_which_network_it_holds(name, tmp_path):
    path, expected = published(tmp_path, name)
    model = from_file(path)
    assert type(model) is type(expected)
    assert (model.heads, model.inputs) == (expected.heads, expected.inputs)
    assert (model.n_class, model.backbone) == (expected.n_class, expected.backbone)
    state = expected.state_dict()
    assert list(state) == list(model.state_dict())
    assert all(np.array_equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", NETWORKS)
def test_classes_and_means_follow_from_the_published_name(name, tmp_path):
    path, model = published(tmp_path, name)
    card = card_of(path, model)
    classes = {
        "voc": {"": VOC_CLASSES}, "pascalcontext": {"": CONTEXT_CLASSES},
        "siftflow": {"sem": SIFTFLOW_CLASSES, "geo": SIFTFLOW_GEOMETRY},
        "nyud": {"": NYUD_CLASSES},
    }[name.split("-")[0]]
    assert card.names(model) and card.of_heads(model) == classes
    means = {
        "voc": {"color": VOC}, "pascalcontext": {"color": VOC}, "siftflow": {"color": SIFTFLOW},
        "nyud": {"color": NYUD},
    }[name.split("-")[0]]
    special = {
        "nyud-fcn32s-hha": {"hha": HHA}, "nyud-fcn32s-color-d": {"color": NYUD, "depth": (7.844,)},
        "nyud-fcn32s-color-hha": {"color": NYUD, "hha": HHA},
    }
    assert card.means == special.get(name, means)


@pytest.mark.parametrize("name", ["voc-fcn8s", "siftflow-fcn8s", "nyud-fcn32s-hha"])
def test_a_renamed_file_names_nothing_until_the_data_set_is_said(name, tmp_path):
    path, model = published(tmp_path, name, "renamed")
    card = card_of(path, model)
    assert not card.names(model) and card.means is None
    dataset = "nyud-hha" if name.endswith("hha") else name.split("-")[0]
    said = card_of(path, model, dataset=dataset)
    assert said == card_of(published(tmp_path, name)[0], model)


def test_a_data_set_of_other_classes_is_an_error(tmp_path):
    path, model = published(tmp_path, "voc-fcn32s")
    with pytest.raises(ValueError, match=r"for siftflow, with 33 classes \(sem\) and 3 classes "
                                         r"\(geo\), got 21 classes"):
        card_of(path, model, dataset="siftflow")


def test_a_data_set_does_not_rename_the_classes_of_a_file(tmp_path):
    model = network("voc-fcn32s")
    names = [f"thing {n}" for n in range(21)]
    save_network(tmp_path / "mine.npz", model, Card(Classes.named(names)))
    with pytest.raises(ValueError, match=r"mine\.npz: expected the classes of voc, got weights th"):
        card_of(tmp_path / "mine.npz", model, dataset="voc")
    save_network(tmp_path / "unnamed.npz", model, Card())
    assert card_of(tmp_path / "unnamed.npz", model, dataset="voc").classes == VOC_CLASSES


def test_the_data_sets_have_the_classes_of_the_paper():
    counts = {key: [len(c) for c in d.classes.values()] for key, d in DATASETS.items()}
    assert counts == {
        "pascalcontext": [60], "siftflow": [33, 3], "nyud-hha": [40], "nyud": [40], "voc": [21]
    }
    assert CONTEXT_CLASSES.names[:21] == VOC_CLASSES.names
    assert CONTEXT_CLASSES.names[21] == "bag" and CONTEXT_CLASSES.names[59] == "wood"
    assert SIFTFLOW_GEOMETRY.names == ("sky", "horizontal", "vertical")


def test_a_caffe_file_at_once_is_known_by_its_factors(tmp_path):
    path, _ = published(tmp_path, "voc-fcn8s-atonce", "renamed")
    assert type(from_file(path)) is FCN8sAtOnce
    state = weights.load(path)
    state["scale_pool4.weight"] = np.float32([0.01, 0.01, 0.01, 0.02, 0.01, 0.01])
    weights.save(path, state)
    with pytest.raises(ValueError, match=r"scale_pool4\.weight to be 0\.01 everywhere, as in FCN"):
        from_file(path)
    state["scale_pool2.weight"] = state.pop("scale_pool4.weight")
    weights.save(path, state)
    with pytest.raises(ValueError, match=r"scale_pool2\.weight to be left out, as in FCN8sAtOnce"):
        from_file(path)


@pytest.mark.parametrize("ending", ["caffemodel", "npz", "safetensors"])
def test_at_once_is_not_lost_on_export(ending, tmp_path):
    path, model = published(tmp_path, "voc-fcn8s-atonce")
    out = tmp_path / f"mine.{ending}"
    assert main(["export", "--weights", str(path), str(out)]) == 0
    again = from_file(out)
    assert type(again) is FCN8sAtOnce
    image = np.random.default_rng(0).standard_normal((1, 3, 40, 50)).astype(np.float32)
    np.testing.assert_array_equal(again.eval()(image), model(image))


def test_parts_of_a_late_fusion_that_do_not_fit_are_named(tmp_path):
    path, model = published(tmp_path, "nyud-fcn32s-color-hha")
    state = model.state_dict()
    del state["conv3_2hha.bias"]
    weights.save(path, state)
    with pytest.raises(ValueError, match=r"missing conv3_2hha\.bias"):
        from_file(path)
    state = model.state_dict()
    state["score_frhha.weight"] = state["score_frhha.weight"][:39]
    weights.save(path, state)
    with pytest.raises(ValueError, match="same number of classes, got 40 and 39"):
        from_file(path)


# --- Predict ----------------------------------------------------------------------------------


def labels_in(path):
    with Image.open(path) as opened:
        return np.asarray(opened)


def predict(path, image, out, *options):
    return main([
        "predict", "--weights", str(path), str(image), "--out", str(out), *map(str, options)
    ])


@pytest.mark.parametrize("name", ["voc-fcn-alexnet", "pascalcontext-fcn16s", "nyud-fcn32s-color"])
def test_a_color_image_is_segmented_with_the_mean_of_the_data_set(name, image, tmp_path, capsys):
    path, model = published(tmp_path, name)
    assert predict(path, image, tmp_path) == 0
    mean = NYUD if name.startswith("nyud") else VOC
    expected = model(bgr(image, mean))[0].argmax(axis=0)
    np.testing.assert_array_equal(labels_in(tmp_path / "room_labels.png"), expected)
    classes = DATASETS[name.split("-")[0]].classes[""].names
    top = classes[np.bincount(expected.ravel()).argmax()]
    assert f"room.png: {top} " in capsys.readouterr().out


def test_two_heads_give_two_label_images(image, tmp_path, capsys):
    path, model = published(tmp_path, "siftflow-fcn8s")
    assert predict(path, image, tmp_path, "--scores") == 0
    scores = model(bgr(image, SIFTFLOW))
    for head in ("sem", "geo"):
        labels = labels_in(tmp_path / f"room_{head}_labels.png")
        np.testing.assert_array_equal(labels, scores[head][0].argmax(axis=0))
        saved = np.load(tmp_path / f"room_{head}_scores.npy")
        np.testing.assert_allclose(saved, scores[head][0], rtol=0, atol=1e-4 * abs(saved).max())
        assert (tmp_path / f"room_{head}_overlay.png").exists()
        assert (tmp_path / f"room_{head}_legend.png").exists()
    said = capsys.readouterr().out
    assert "FCN8s on ThinVGG16, 33 classes (sem) and 3 classes (geo)" in said
    assert re.search(r"room\.png: sem: .*; geo: (sky|horizontal|vertical) ", said)
    # Again: the results are known as this program's.
    assert predict(path, image, tmp_path, "--scores") == 0


def test_early_fusion_sees_the_logarithm_of_the_depth(image, depth, tmp_path):
    path, model = published(tmp_path, "nyud-fcn32s-color-d")
    assert predict(path, image, tmp_path, "--depth", depth) == 0
    seen = np.concatenate([bgr(image, NYUD), log_of(depth)], axis=1)
    expected = model(seen)[0].argmax(axis=0)
    np.testing.assert_array_equal(labels_in(tmp_path / "room_labels.png"), expected)


def test_late_fusion_sees_hha_beside_colors(image, hha, tmp_path):
    path, model = published(tmp_path, "nyud-fcn32s-color-hha")
    assert predict(path, image, tmp_path, "--hha", hha) == 0
    expected = model(bgr(image, NYUD), stored(hha, HHA))[0].argmax(axis=0)
    np.testing.assert_array_equal(labels_in(tmp_path / "room_labels.png"), expected)


def test_a_network_of_hha_alone_sees_it_in_the_order_of_the_file(hha, tmp_path):
    path, model = published(tmp_path, "nyud-fcn32s-hha")
    assert predict(path, hha, tmp_path) == 0
    expected = model(stored(hha, HHA))[0].argmax(axis=0)
    np.testing.assert_array_equal(labels_in(tmp_path / "hha_labels.png"), expected)


def test_several_images_find_their_depths_in_a_folder(image, depth, tmp_path, capsys):
    path, _ = published(tmp_path, "nyud-fcn32s-color-d")
    images, depths = tmp_path / "images", tmp_path / "depths"
    for folder, source in ((images, image), (depths, depth)):
        folder.mkdir()
        for name in ("a.png", "b.png"):
            (folder / name).write_bytes(source.read_bytes())
    assert predict(path, images, tmp_path / "out", "--depth", depths) == 0
    assert (tmp_path / "out" / "b_labels.png").exists()
    (depths / "b.png").unlink()
    arguments = ("predict", "--weights", path, images, "--out", tmp_path / "out")
    assert "depths: expected an image b, found none" in failed(
        capsys, *arguments, "--depth", depths
    )
    assert "expected --depth to be a folder for 2 images" in failed(
        capsys, *arguments, "--depth", depth
    )


@pytest.mark.parametrize(("name", "options", "words"), [
    ("nyud-fcn32s-color-d", (), "takes depth as well as color: expected --depth PATH"),
    ("nyud-fcn32s-color-hha", ("--depth", "depth.png"), "--depth is for a network that takes"),
    ("nyud-fcn32s-color-hha", (), "takes hha as well as color: expected --hha PATH"),
    ("voc-fcn8s", ("--hha", "hha.png"), "--hha is for a network that takes hha"),
    ("nyud-fcn32s-color-d", ("--depth", "none.png"), "--depth to be a file or a folder, got"),
    ("siftflow-fcn8s", ("--classes", "a,b,c"), "--classes is for a network with one head, got sem"),
    ("voc-fcn8s", ("--dataset", "nyud"), "a network for nyud, with 40 classes, got 21 classes"),
])
def test_what_a_network_does_not_see_is_an_error(
    name, options, words, image, depth, hha, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path, _ = published(tmp_path, name)
    assert words in failed(capsys, "predict", "--weights", path, image, *options)


@pytest.mark.parametrize(("values", "words"), [
    (np.zeros((50, 61), np.uint16), "expected depths above 0, got 0 in row 0, column 0"),
    (np.ones((40, 61), np.uint16), "expected the size of .*room.png, 61 x 50, got 61 x 40"),
    (np.ones((50, 61, 3), np.uint8), "expected one channel of depths, got 3 channels"),
])
def test_a_depth_that_cannot_be_used(values, words, image, tmp_path, capsys):
    path, _ = published(tmp_path, "nyud-fcn32s-color-d")
    Image.fromarray(values).save(tmp_path / "wrong.png")
    assert predict(path, image, tmp_path / "out", "--depth", tmp_path / "wrong.png") == 1
    assert re.search(words, capsys.readouterr().err)


def test_networks_whose_classes_are_not_known_say_what_helps(image, tmp_path, capsys):
    path, _ = published(tmp_path, "siftflow-fcn32s", "renamed")
    assert predict(path, image, tmp_path) == 0
    said = capsys.readouterr().out
    assert "The weights do not name their classes; use --dataset to name them." in said
    assert "Subtracting the default means from images; --dataset selects others." in said
    assert "sem: class " in said
    assert predict(path, image, tmp_path, "--dataset", "siftflow") == 0
    assert "do not name" not in capsys.readouterr().out


def test_score_image_wants_what_the_network_sees():
    image = np.zeros((3, 40, 40), np.float32)
    with pytest.raises(ValueError, match="expected a network with one head, got sem, geo"):
        score_image(network("siftflow-fcn32s"), image)
    with pytest.raises(ValueError, match="expected color and depth for this network, got 1 images"):
        score_heads(network("nyud-fcn32s-color-d"), image)
    with pytest.raises(ValueError, match="expected color for this network, got 2 images"):
        score_image(network("voc-fcn32s"), image, image)
    with pytest.raises(ValueError, match=r"expected hha .* shape \(3, 40, 40\)"):
        score_image(network("nyud-fcn32s-color-hha"), image, image[:, 1:])


def test_evaluate_uses_the_mean_of_the_data_set_and_refuses_what_it_cannot(tmp_path, capsys):
    path, model = published(tmp_path, "nyud-fcn32s-color", "nyud-fcn32s-color-2")
    folder = tmp_path / "data"
    write_folder(folder, n=1)
    (image,) = (folder / "images").iterdir()
    (mask,) = (folder / "masks").iterdir()
    height, width = read_image(image).shape[1:]
    scores = model(bgr_of_any(image, NYUD, model))[0, :, :height, :width]
    Image.fromarray(scores.argmax(axis=0).astype(np.uint8)).save(mask)
    names = ",".join(NYUD_CLASSES.names)
    assert main([
        "evaluate", "--weights", str(path), "--data", str(folder), "--classes", names
    ]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^fcn32s +1\.000 .* 1\.000$", said, re.MULTILINE), said
    for name in ("siftflow-fcn8s", "nyud-fcn32s-color-d", "nyud-fcn32s-color-hha"):
        other, _ = published(tmp_path, name)
        words = failed(capsys, "evaluate", "--weights", other, "--data", folder)
        assert "one head that takes one image of three channels" in words


def bgr_of_any(path, mean, model):
    """Read an image, and extend it to a size that a network takes."""
    seen = bgr(path, mean)
    extra = [(0, next(n for n in range(s, s + 99) if model.takes(n)) - s) for s in seen.shape[2:]]
    return np.pad(seen, [(0, 0), (0, 0), *extra], mode="edge")


# --- Export -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
@pytest.mark.parametrize("name", ["siftflow-fcn16s", "nyud-fcn32s-hha", "nyud-fcn32s-color-hha"])
def test_an_exported_network_keeps_its_classes_and_means(name, ending, tmp_path, capsys):
    path, model = published(tmp_path, name)
    out = tmp_path / f"mine.{ending}"
    assert main(["export", "--weights", str(path), str(out)]) == 0
    again = from_file(out)
    assert (type(again), again.heads, again.inputs) == (type(model), model.heads, model.inputs)
    assert card_of(out, again) == card_of(path, model)
    assert "do not name" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["siftflow-fcn8s", "nyud-fcn32s-color", "voc-fcn8s"])
def test_what_a_caffemodel_cannot_carry_is_said(name, tmp_path, capsys):
    path, _ = published(tmp_path, name)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "mine.caffemodel"
    assert main(["export", "--weights", str(path), str(out)]) == 0
    lost = "A .caffemodel file cannot record its data set: use --dataset to predict from it."
    assert (lost in capsys.readouterr().out) == (name != "voc-fcn8s")


def test_means_that_are_missing_are_an_error():
    image = np.zeros((3, 40, 40), np.float32)
    with pytest.raises(ValueError, match=r"means: expected 3 finite numbers for color, got \(\)"):
        score_image(network("nyud-fcn32s-color-d"), image, image[:1] + 1, means={"depth": (7.8,)})


def test_a_caffemodel_can_be_written_and_read(tmp_path, capsys):
    path, model = published(tmp_path, "voc-fcn32s")
    out = tmp_path / "out" / "mine.caffemodel"
    out.parent.mkdir()
    assert main(["export", "--weights", str(path), str(out)]) == 0
    assert "The classes are in" in capsys.readouterr().out
    assert card_of(out, from_file(out)).classes == VOC_CLASSES
    assert all(np.array_equal(v, model.state_dict()[k]) for k, v in weights.load(out).items())


def test_damaged_means_are_an_error(tmp_path):
    model = network("nyud-fcn32s-color-d")
    path = tmp_path / "w.npz"
    save_network(path, model, card_of(published(tmp_path, "nyud-fcn32s-color-d")[0], model))
    data = weights.read_metadata(path)
    assert json.loads(data["means"]) == {"color": list(NYUD), "depth": [7.844]}
    assert "natural logarithm of the depth, minus 7.844" in data["input"]
    for means in ("3", "{}", '{"color": [1, 2, 3]}', '{"color": [1, 2], "depth": [1, 2]}', "[[1]]",
                  '{"sound": [1, 2, 3, 4]}', '{"color": [1, 2, 3], "depth": ["x"]}', "{",
                  '{"depth": [7], "hha": [1, 2, 3]}', '{"color": [1, NaN, 3], "depth": [7]}'):
        weights.save(path, model.state_dict(), {**data, "means": means})
        with pytest.raises(ValueError, match=r"w\.npz: means: expected"):
            card_of(path, model)


# --- docs/weights.md --------------------------------------------------------------------------

PAGE = (Path(__file__).parent.parent / "docs" / "weights.md").read_text("utf-8")


@pytest.mark.parametrize("name", [n for n in FILES if not re.search("fcn(16|8)s|color-d", n)])
def test_the_page_names_the_file_of_each_network(name):
    (row,) = re.findall(rf"^\| {name}[ ,].*$", PAGE, re.MULTILINE)
    assert f"{FILES[name]}.caffemodel" in row


def test_the_page_has_the_means_that_are_subtracted():
    means = {mean for dataset in DATASETS.values() for mean in dataset.means.values()}
    assert len(means) == 5
    decimals = {VOC: 5, SIFTFLOW: 3, NYUD: 3, HHA: 3, (7.844,): 3}
    for mean in means:
        assert ", ".join(f"{value:.{decimals[mean]}f}" for value in mean) in PAGE


def test_the_surgery_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FCN.__init__, "__defaults__", (21, ThinVGG16))
    published(tmp_path, "voc-fcn8s")
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    names = {}
    exec(compile(block, "docs/weights.md", "exec"), names)
    state = weights.load("fcn8s-heavy-pascal.caffemodel")
    context, color_depth = names["context"], names["color_depth"]
    np.testing.assert_array_equal(context.score_fr.weight.data[:21], state["score_fr.weight"])
    first = color_depth.conv1_1_bgrd.weight.data
    np.testing.assert_array_equal(first[:, :3], state["conv1_1.weight"])
