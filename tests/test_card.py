"""What a network's file says besides weights: classes, colors, and what images it was made for."""

import json

import numpy as np
import pytest

from fcn_numpy import weights
from fcn_numpy.card import Card, card_of, save_network
from fcn_numpy.data import VOC_CLASSES, Classes, read_classes, write_classes
from fcn_numpy.models import TINY, VGG16, FCN32s, from_file
from fcn_numpy.nn import skip_init

PETS = Classes(("ground", "cat", "dog"), ((0, 0, 0), (9, 8, 7), (1, 1, 1)), (5, 5, 5))
CARD = Card(PETS, (1.0, 99.0))


class PAPERS(VGG16):
    """VGG16 with fewer weights."""

    widths, fc_width = (2, 2, 2, 2, 2), 2


def network(n_class, backbone=TINY):
    with skip_init():
        return FCN32s(n_class, backbone)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_a_card_travels_in_the_file(tmp_path, ending):
    path = tmp_path / f"w{ending}"
    save_network(path, network(3), CARD)
    # What lies beside is of no account, then.
    write_classes(tmp_path / "classes.csv", Classes.named(["x", "y", "z"]))
    assert card_of(path, network(3)) == CARD
    assert weights.read_metadata(path)["network"] == "FCN32s on TINY"
    assert "times 4" in weights.read_metadata(path)["input"]
    assert from_file(path).n_class == 3


@pytest.mark.parametrize("ending", [".pth", ".pt", ".caffemodel"])
def test_classes_of_pytorch_s_files_lie_beside_them(tmp_path, ending):
    path = tmp_path / f"w{ending}"
    save_network(path, network(3), Card(PETS))
    assert read_classes(tmp_path / "classes.csv") == (PETS, True)
    assert card_of(path, network(3)) == Card(PETS)
    save_network(tmp_path / f"again{ending}", network(3), Card(PETS))
    other = Card(Classes.named(["a", "b", "c"]))
    with pytest.raises(ValueError, match=r"classes\.csv exists, and is not the list of this"):
        save_network(tmp_path / f"other{ending}", network(3), other)
    assert not (tmp_path / f"other{ending}").exists()
    assert card_of(path, network(3)) == Card(PETS)


def test_nobody_has_said_which_classes(tmp_path):
    for ending in (".npz", ".safetensors", ".pth"):
        save_network(tmp_path / f"w{ending}", network(4), Card())
        card = card_of(tmp_path / f"w{ending}", network(4))
        assert card == Card()
        assert card.named(4).names == ("class 0", "class 1", "class 2", "class 3")
    assert not (tmp_path / "classes.csv").exists()


def test_a_list_beside_the_weights_names_them_if_it_is_as_long(tmp_path):
    save_network(tmp_path / "w.npz", network(3), Card())
    write_classes(tmp_path / "classes.csv", PETS)
    assert card_of(tmp_path / "w.npz", network(3)).classes == PETS
    save_network(tmp_path / "v.npz", network(2), Card())
    assert card_of(tmp_path / "v.npz", network(2)).classes is None


def test_metadata_of_other_programs_means_something_else(tmp_path):
    path = tmp_path / "w.safetensors"
    weights.save(path, network(3).state_dict(), {"format": "pt", "classes": "three", "stretch": ""})
    assert card_of(path, network(3)) == Card()


def test_a_damaged_list_of_classes_is_an_error(tmp_path):
    save_network(tmp_path / "w.npz", network(3), Card())
    (tmp_path / "classes.csv").write_text("color\n")
    with pytest.raises(ValueError, match=r"classes\.csv is not a list of classes"):
        card_of(tmp_path / "w.npz", network(3))


@pytest.mark.parametrize(("name", "n_class", "backbone", "published"), [
    ("fcn8s_from_caffe.pth", 21, PAPERS, True), ("FCN-32s-heavy-pascal.pth", 21, PAPERS, True),
    ("fcn8s-atonce_from_caffe.pth", 21, PAPERS, True),
    ("fcn8s_from_caffe.pth", 20, PAPERS, False), ("fcn8s_from_caffe.pth", 21, TINY, False),
    ("fcn8s.pth", 21, PAPERS, False), ("roads_from_caffe.pth", 21, PAPERS, False),
])
def test_only_published_networks_have_the_classes_of_voc(
    tmp_path, name, n_class, backbone, published
):
    path = tmp_path / name
    save_network(path, network(n_class, backbone), Card())
    assert card_of(path, network(n_class, backbone)).classes == (VOC_CLASSES if published else None)


@pytest.mark.parametrize(("change", "words"), [
    ({"classes": "ground, cat, dog"}, "classes: expected JSON"),
    ({"classes": "[1, 2, 3]"}, "classes: expected a list of names"),
    ({"classes": "3"}, "classes: expected a list of names"),
    ({"classes": '["a", "b"]'}, "classes: expected 3 names, got 2"),
    ({"classes": '["a", "a", "b"]'}, "twice"),
    ({"classes": '["a", "b", "\\u001b[31m"]'}, r"printable name, got .*x1b"),
    ({"colors": "[[0, 0, 0], [1, 1, 1]]"}, "a color for each of 3 classes, got 2"),
    ({"colors": "[[0, 0, 0], [1, 1, 1], [1, 1, 256]]"}, "colors: expected lists of 3 bytes"),
    ({"colors": "[[0, 0, 0], [1, 1, 1], [1, 1, true]]"}, "colors: expected lists of 3 bytes"),
    ({"ignore_color": "[1, 2]"}, "ignore_color: expected 3 bytes"),
    ({"stretch": "[99, 1]"}, "stretch: expected two percentiles"),
    ({"stretch": '"wide"'}, "stretch: expected two percentiles"),
    ({"stretch": "[" * 100_000}, "stretch: expected JSON"),
])
def test_a_card_that_is_damaged(tmp_path, change, words):
    path = tmp_path / "w.npz"
    data = {**CARD.metadata(network(3)), **change}
    weights.save(path, network(3).state_dict(), data)
    with pytest.raises(ValueError, match=words) as caught:
        card_of(path, network(3))
    message = str(caught.value)
    assert message.startswith(str(path)) and len(message) < 500 and message.isprintable()


def test_other_tools_can_read_it():
    data = CARD.metadata(network(3, PAPERS))
    assert json.loads(data["classes"]) == ["ground", "cat", "dog"]
    assert json.loads(data["colors"])[1] == [9, 8, 7]
    assert "BGR from 0 to 255" in data["input"]


def test_classes_are_matched_by_name():
    order = CARD.matched(Classes.named(["dog", "ground", "cat"]), 3, "w.npz")
    assert order.tolist() == [2, 0, 1]
    scores = np.arange(3)[:, None, None]  # each class of the network scores its own number
    assert scores[order].ravel().tolist() == [2, 0, 1]
    assert Card().matched(PETS, 3, "w.npz").tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"w\.npz to hold weights for 2 classes, got score_fr"):
        CARD.matched(Classes.named(["a", "b"]), 3, "w.npz")
    with pytest.raises(ValueError, match=r"w\.npz: expected the same 3 classes, ground, cat, cow"):
        CARD.matched(Classes.named(["ground", "cat", "cow"]), 3, "w.npz")
