"""Training that starts from weights of another network."""

import numpy as np
import pytest
from failing_command import failed
from labeled_folder import write_folder

from fcn_numpy import training, weights
from fcn_numpy.cli import main
from fcn_numpy.models import TINY, Classifier, FCN8s, FCN16s, FCN32s
from fcn_numpy.models.surgery import for_caffe_images, start_from
from fcn_numpy.training import SEGMENTERS, OwnData, Settings, train

QUICK = Settings().quick().with_stages(*SEGMENTERS, dropout=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("own"), listed=True)


def test_a_run_starts_from_weights(folder, tmp_path, capsys):
    start = FCN8s(7, TINY, rng=np.random.default_rng(0))
    weights.save(tmp_path / "start.pth", start.state_dict())
    out = tmp_path / "run"
    settings = QUICK.with_pretrained(str(tmp_path / "start.pth")).with_stages(lr=0.0, steps=1)
    train(out, settings, data=OwnData.open(folder))
    assert not (out / "classifier.npz").exists()
    state = weights.load(out / "fcn8s.npz")
    for name, value in start.state_dict().items():
        if name.startswith(("conv", "fc")):
            np.testing.assert_array_equal(state[name], value, err_msg=name)
    assert [row[0] for row in training.read_history(out)] == ["fcn32s", "fcn16s", "fcn8s"]
    assert main([
        "train", "--quick", "--data", str(folder), "--pretrained", str(tmp_path / "start.pth"),
        "--out", str(tmp_path / "again"),
    ]) == 0
    words = capsys.readouterr().out
    assert "classifier" not in words


def test_start_from_takes_what_fits():
    old = FCN16s(4, TINY, rng=np.random.default_rng(0))
    for p in old.parameters():
        p.data += 1
    same, other = FCN32s(4, TINY), FCN32s(5, TINY)
    assert "score_fr.weight" in start_from(same, old.state_dict())
    np.testing.assert_array_equal(same.score_fr.weight.data, old.score_fr.weight.data)
    assert not any(name.startswith("score") for name in start_from(other, old.state_dict()))
    assert (other.score_fr.weight.data == 0).all()
    upsampling = FCN32s(4, TINY).upscore.weight.data
    np.testing.assert_array_equal(same.upscore.weight.data, upsampling)
    classifier = Classifier(9, TINY)
    start_from(other, classifier.state_dict())
    np.testing.assert_array_equal(
        other.fc6.weight.data.reshape(128, -1), classifier.fc6.weight.data
    )
    state = classifier.state_dict()
    del state["conv3_1.bias"]
    with pytest.raises(ValueError, match=r"expected conv3_1\.bias among the names"):
        start_from(other, state)


def test_torchvision_s_images_are_folded_into_the_first_layer():
    """conv1_1 over an image in each form, away from the padding, is the same."""
    rng = np.random.default_rng(0)
    image = rng.random((1, 3, 9, 9))
    state = {
        "conv1_1.weight": rng.standard_normal((4, 3, 3, 3)),
        "conv1_1.bias": rng.standard_normal(4),
        "other": np.arange(3.0),
    }
    from fcn_numpy import conv2d
    from fcn_numpy.data import subtract_mean

    mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    bias = state["conv1_1.bias"][:, None, None]
    expected = conv2d((image - mean) / std, state["conv1_1.weight"]) + bias
    folded = for_caffe_images(state, "torchvision")
    got = conv2d(subtract_mean(image), folded["conv1_1.weight"])
    got += folded["conv1_1.bias"][:, None, None]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(folded["other"], state["other"])
    assert for_caffe_images(state, "caffe") is state
    with pytest.raises(ValueError, match="'caffe' or 'torchvision', got 'x'"):
        for_caffe_images(state, "x")
    with pytest.raises(ValueError, match=r"conv1_1\.weight of shape \(F, 3, kh, kw\)"):
        for_caffe_images(
            {"conv1_1.weight": np.zeros((2, 4, 3, 3)), "conv1_1.bias": np.zeros(2)}, "torchvision"
        )


def test_weights_that_do_not_fit_are_said_before_anything_is_written(folder, tmp_path, capsys):
    state = FCN8s(4, TINY, rng=np.random.default_rng(0)).state_dict()
    state["fc7.weight"] = state["fc7.weight"][:-1]
    weights.save(tmp_path / "w.npz", state)
    out = tmp_path / "run"
    words = failed(
        capsys, "train", "--data", folder, "--pretrained", tmp_path / "w.npz", "--out", out
    )
    assert "w.npz: expected fc7.weight of shape (128, 128, 1, 1), got (127, 128, 1, 1)" in words
    assert not out.exists()
