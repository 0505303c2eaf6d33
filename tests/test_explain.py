"""explain: streams add up to the scores; gradients and receptive fields are the network's."""

import csv
import dataclasses

import numpy as np
import pytest
from backbones import OverResidual, Residual, ThinAlexNet
from PIL import Image

from fcn_numpy import weights
from fcn_numpy.cli import main
from fcn_numpy.data import TOY_CLASSES, normalize, read_image, toy_shapes, write_image
from fcn_numpy.explain import Explanation, explain
from fcn_numpy.models import (
    ALEXNET,
    TINY,
    VGG16,
    FCN8s,
    FCN8sAtOnce,
    FCN16s,
    FCN32s,
    LateFusion,
    PyramidPooling,
)
from fcn_numpy.plotting import draw_explanation, draw_network
from fcn_numpy.prediction import score_image


class Narrow(TINY):
    widths, fc_width = (4, 4, 6, 6, 6), 8


def random_network(make, backbone=Narrow, **options):
    rng = np.random.default_rng(0)
    model = make(backbone=backbone, dtype=np.float64, rng=rng, **options)
    for parameter in model.parameters():
        if not parameter.data.any():  # score layers start at zero
            parameter.data[...] = 0.3 * rng.standard_normal(parameter.data.shape)
    return model


def with_pyramid():
    context = PyramidPooling(8, dtype=np.float64, rng=np.random.default_rng(1))
    return random_network(FCN8s, n_class=3, context=context)


def late_fusion():
    color, hha = (random_network(FCN32s, n_class=3) for _ in range(2))
    hha.score_fr.weight.data *= -0.7
    return LateFusion(color, hha)


NETWORKS = {
    "FCN-32s": (lambda: random_network(FCN32s, n_class=3), ["score_fr"]),
    "FCN-16s": (lambda: random_network(FCN16s, n_class=3), ["score_fr", "score_pool4"]),
    "FCN-8s": (
        lambda: random_network(FCN8s, n_class=3), ["score_fr", "score_pool4", "score_pool3"]
    ),
    "at once": (
        lambda: random_network(FCN8sAtOnce, n_class=3), ["score_fr", "score_pool4", "score_pool3"]
    ),
    "AlexNet": (lambda: random_network(FCN32s, ThinAlexNet, n_class=3), ["score_fr"]),
    "pyramid": (with_pyramid, ["score_fr", "context", "score_pool4", "score_pool3"]),
    "heads": (
        lambda: random_network(FCN16s, heads={"sem": 3, "geo": 2}), ["score_fr", "score_pool4"]
    ),
    "early fusion": (lambda: random_network(FCN32s, n_class=3, in_channels=4), ["score_fr"]),
    "late fusion": (late_fusion, ["score_frcolor", "score_frhha"]),
    "a backbone of one's own": (
        lambda: random_network(OverResidual, Residual, n_class=3),
        ["score_fr", "score_stage3", "score_stage2"],
    ),
}
SIZE = 64, 128


def images_for(model, seed=5):
    rng = np.random.default_rng(seed)
    size = SIZE if model.takes(SIZE) else (97, 129)
    return tuple(rng.standard_normal((1, c, *size)) for c in model.inputs.values())


def explained(model, images, pixel):
    found = explain(model, images if len(images) > 1 else images[0], pixel)
    return found if model.heads else {"": found}


def scored(model, images):
    model.eval()
    found = model(*images)
    return found if model.heads else {"": found}


@pytest.fixture(params=NETWORKS)
def network(request):
    make, streams = NETWORKS[request.param]
    return make(), streams


def test_streams_add_up_to_the_scores(network):
    model, names = network
    images = images_for(model)
    for head, e in explained(model, images, (40, 31)).items():
        suffix = f"_{head}" if head else ""
        assert [name.removesuffix(suffix) for name in e.streams] == names
        scores = scored(model, images)[head][0]
        np.testing.assert_allclose(sum(e.streams.values()), scores, rtol=0, atol=1e-10)
        np.testing.assert_allclose(
            sum(e.contributions.values()), scores[:, 40, 31], rtol=0, atol=1e-10
        )
        assert all(np.abs(stream).max() > 1e-6 for stream in e.streams.values())
        np.testing.assert_array_equal(e.scores, scores[:, 40, 31])
        first, second = np.sort(e.scores)[::-1][:2]
        assert e.scores[e.winner] == first and e.scores[e.runner_up] == second
        assert sum(e.margins.values()) == pytest.approx(first - second, abs=1e-10)


def test_gradients_are_finite_differences(network):
    model, _ = network
    images = images_for(model)
    for head, e in explained(model, images, (20, 50)).items():
        assert list(e.gradients) == list(model.inputs)
        steps = [1e-6 * np.random.default_rng(7).standard_normal(x.shape) for x in images]
        up, down = (
            scored(model, [x + sign * s for x, s in zip(images, steps)])[head] for sign in (1, -1)
        )
        wanted = (up - down)[0, e.winner, 20, 50] / 2
        got = sum((g * s[0]).sum() for g, s in zip(e.gradients.values(), steps))
        assert got == pytest.approx(wanted, rel=1e-5)


def test_a_stream_without_weights_contributes_nothing():
    for silent in ("score_fr", "score_pool4", "score_pool3"):
        model = random_network(FCN8s, n_class=3)
        before = explain(model, images_for(model)[0], (9, 9)).streams
        for parameter in getattr(model, silent).parameters():
            parameter.data[...] = 0
        after = explain(model, images_for(model)[0], (9, 9)).streams
        assert not after[silent].any()
        for name in after.keys() - {silent}:
            np.testing.assert_array_equal(after[name], before[name])


def test_nothing_outside_of_a_receptive_field_matters_and_its_corners_do():
    model = random_network(FCN8s, n_class=3)
    # Without biases ReLU would be linear in half of the cells; pools may ignore a pixel.
    image = images_for(model)[0]
    e = explain(model, image, (30, 64))
    for name, (rows, columns) in e.fields.items():
        inside = np.zeros(SIZE, bool)
        inside[max(0, rows[0]) : rows[1] + 1, max(0, columns[0]) : columns[1] + 1] = True
        if not inside.all():
            noise = np.where(inside, 0, np.random.default_rng(1).standard_normal(image.shape))
            other = explain(model, image + noise, (30, 64)).contributions[name]
            np.testing.assert_array_equal(other, e.contributions[name])
    # A field one pixel smaller on any side would be too small.
    rows, columns = e.fields["score_pool3"]
    for edge in ((rows[0], slice(None)), (rows[1], slice(None)), (slice(None), columns[0]),
                 (slice(None), columns[1])):
        line = edge[0] if isinstance(edge[0], int) else edge[1]
        if line < 0 or line >= SIZE[not isinstance(edge[0], int)]:
            continue
        changed = [image.copy() for _ in range(8)]
        for seed, each in enumerate(changed):
            each[0][(slice(None), *edge)] = 5 * np.random.default_rng(seed).standard_normal(
                each[0][(slice(None), *edge)].shape
            )
        moved = [explain(model, each, (30, 64)).contributions["score_pool3"] for each in changed]
        assert any((m != e.contributions["score_pool3"]).any() for m in moved), edge


def test_the_gradient_of_a_stream_lies_in_its_receptive_field_and_fills_it():
    model = random_network(FCN8s, n_class=3)
    for name in ("score_fr", "score_pool4"):
        for parameter in getattr(model, name).parameters():
            parameter.data[...] = 0
    images = [images_for(model, seed)[0] for seed in range(4)]
    for row in range(24, 40):  # two periods of the stream
        found = [explain(model, image, (row, 64)) for image in images]
        reached = np.flatnonzero(np.sum([e.influence() for e in found], axis=0).any(axis=1))
        top, bottom = found[0].fields["score_pool3"].rows
        assert top <= reached[0] <= top + 2 and bottom - 2 <= reached[-1] <= bottom, row


def test_the_whole_image_is_the_field_of_the_pyramid():
    model = with_pyramid()
    (top, bottom), (left, right) = explain(model, images_for(model)[0], (1, 1)).fields["context"]
    assert top <= 0 and left <= 0 and bottom >= SIZE[0] - 1 and right >= SIZE[1] - 1


def test_the_network_is_left_as_it_is():
    model = random_network(FCN8s, n_class=3).train()
    image = images_for(model)[0]
    before = model.state_dict()
    model.drop6.p = model.drop7.p = 0.0

    def gradients(between):
        model.zero_grad()
        scores = model(image)
        between()
        model.backward(np.cos(np.arange(scores.size)).reshape(scores.shape))
        return {name: p.grad.copy() for name, p in model.named_parameters()}

    expected = gradients(lambda: None)
    # What forward saved is still there.
    got = gradients(lambda: explain(model, image, (3, 4)))
    for name, gradient in got.items():
        np.testing.assert_array_equal(gradient, expected[name], err_msg=name)
    model.zero_grad()
    explain(model, image, (3, 4))
    assert all(module.training for module in model.modules())
    assert not any(p.grad.any() for p in model.parameters())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_shares_of_the_gradient():
    gradient = np.zeros((2, 9, 9))
    gradient[0, 4, 4], gradient[1, 4, 6], gradient[0, 0, 0] = 1, -2, 1
    e = Explanation((4, 4), np.array([1.0, 0]), {}, {}, {"image": gradient})
    assert [e.share_within(size) for size in (1, 2, 3, 4, 5, 9)] == [.25, .25, .25, .75, .75, 1]
    assert dataclasses.replace(e, pixel=(0, 0)).share_within(3) == 0.25
    assert np.isnan(dataclasses.replace(e, gradients={"image": 0 * gradient}).share_within(3))
    assert e.shares == {}  # 9 pixels are less than 16
    wide = np.zeros((1, 20, 65))
    wide[0, 10, ::8] = 1
    shares = dataclasses.replace(e, pixel=(10, 32), gradients={"image": wide}).shares
    assert shares == {16: pytest.approx(2 / 9), 32: pytest.approx(4 / 9), 64: pytest.approx(8 / 9)}


def test_an_image_may_come_with_or_without_its_first_axis():
    model = random_network(FCN32s, n_class=3)
    image = images_for(model)[0]
    one, other = explain(model, image, (0, 0)), explain(model, image[0], (0, 0))
    np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize(("image", "pixel", "words"), [
    (np.zeros((3, 64, 64)), (64, 0), "expected a pixel inside an image of 64 x 64"),
    (np.zeros((3, 64, 64)), (-1, 0), "pixel"),
    (np.zeros((2, 3, 64, 64)), (0, 0), "expected explain: image"),
    (np.zeros((1, 64, 64)), (0, 0), "image"),
])
def test_errors(image, pixel, words):
    with pytest.raises(ValueError, match=words):
        explain(random_network(FCN32s, n_class=3), image, pixel)


def test_only_networks_that_segment_are_explained():
    with pytest.raises(ValueError, match="expected an FCN, got int"):
        explain(3, np.zeros((3, 64, 64)), (0, 0))


# ---------------------------------------------------------------- the figure and the command


def test_the_figure_shows_every_stream(tmp_path):
    model = random_network(FCN8s, n_class=4).astype(np.float32)
    images, _ = toy_shapes(1, 64)
    e = explain(model, normalize(images)[0], (10, 20))
    draw_explanation(tmp_path / "e.png", e, images[0], TOY_CLASSES)
    with Image.open(tmp_path / "e.png") as figure:
        assert min(figure.size) > 600
        colors = {color for _, color in figure.convert("RGB").getcolors(10**6)}
    assert {(0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73), (0x00, 0x72, 0xB2)} <= colors


@pytest.fixture
def files(tmp_path):
    model = random_network(FCN8s, TINY, n_class=4).astype(np.float32)
    weights.save(tmp_path / "w.npz", model.state_dict())
    write_image(tmp_path / "shapes.png", toy_shapes(1, 60)[0][0])
    return model, tmp_path


def test_the_command_prints_and_writes_the_table(files, capsys):
    model, folder = files
    assert main(["explain", "--weights", str(folder / "w.npz"), str(folder / "shapes.png"),
                 "--at", "59", "3", "--out", str(folder / "out"), "--classes", "a,b,c,d"]) == 0
    said = capsys.readouterr().out
    with open(folder / "out" / "shapes_streams.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["class", "score_fr", "score_pool4", "score_pool3", "score"]
    scores = [float(row[-1]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    wanted = score_image(model, read_image(folder / "shapes.png"))[:, 59, 3]
    for name, *parts, score in rows:
        assert float(score) == pytest.approx(wanted["abcd".index(name)], abs=2e-4)
        assert sum(map(float, parts)) == pytest.approx(float(score), abs=3e-4)
        assert score in said
    assert f"{rows[0][0]} over {rows[1][0]} by" in said
    assert "score_pool3 52 x 52" in said
    with Image.open(folder / "out" / "shapes_explained.png") as figure:
        assert min(figure.size) > 600


def test_the_command_explains_each_head(tmp_path, capsys):
    model = random_network(FCN16s, TINY, heads={"sem": 3, "geo": 2}).astype(np.float32)
    weights.save(tmp_path / "w.npz", model.state_dict(), {"network": "FCN16s on TINY"})
    write_image(tmp_path / "x.png", toy_shapes(1, 64)[0][0])
    assert main(["explain", "--weights", str(tmp_path / "w.npz"), str(tmp_path / "x.png"),
                 "--at", "0", "0", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "sem: row 0, column 0" in said and "geo: row 0, column 0" in said
    for head in ("sem", "geo"):
        assert (tmp_path / f"x_{head}_streams.csv").exists()
        assert (tmp_path / f"x_{head}_explained.png").exists()


def test_the_command_replaces_what_it_wrote_and_nothing_else(files, capsys):
    _, folder = files

    def run():
        return main(["explain", "--weights", str(folder / "w.npz"), str(folder / "shapes.png"),
                     "--at", "0", "0", "--out", str(folder / "out")])

    assert run() == run() == 0
    for name in ("shapes_explained.png", "shapes_streams.csv"):
        for path in (folder / "out").iterdir():
            path.unlink()
        (folder / "out" / name).write_bytes(b"precious")
        assert run() == 2 and f"{name} exists" in capsys.readouterr().err
        assert (folder / "out" / name).read_bytes() == b"precious"


def test_scores_that_are_not_finite_are_an_error(files, capsys):
    model, folder = files
    state = model.state_dict()
    state["conv1_1.weight"][...] = 3e38
    weights.save(folder / "w.npz", state)
    assert main(["explain", "--weights", str(folder / "w.npz"), str(folder / "shapes.png"),
                 "--at", "0", "0", "--out", str(folder / "out")]) == 2
    assert "the scores are not finite" in capsys.readouterr().err
    assert not (folder / "out").exists()


@pytest.mark.parametrize(("options", "words"), [
    (["--at", "60", "0"], "--at: expected a row below 60 and a column below 60, got 60 and 0"),
    (["--at", "1"], "expected 2 arguments"),
    (["--at", "1", "x"], "expected a whole number of at least 0, got 'x'"),
    (["--at", "1", "1", "--classes", "a,b"], "4"),
    (["--at", "1", "1", "--depth", "d.png"], "--depth is for a network that takes depth"),
])
def test_the_command_says_what_is_wrong(files, capsys, options, words):
    _, folder = files
    try:
        status = main(["explain", "--weights", str(folder / "w.npz"), str(folder / "shapes.png"),
                       "--out", str(folder / "out"), *options])
    except SystemExit as end:
        status = end.code
    assert status == 2 and words in capsys.readouterr().err
    assert not (folder / "out").exists()


# ---------------------------------------------------------------- the still of the network


@pytest.mark.parametrize(("model", "words"), [
    (FCN8s(21, VGG16), {"crop at 5", "crop at 9", "crop at 31", "kernel 16, stride 8",
                        "4096 x 8 x 8", "21 x 224 x 224", "padding 100", "conv3_1 to conv3_3"}),
    (FCN32s(21, ALEXNET), {"crop at 18", "kernel 63, stride 32", "conv3 to conv5"}),
    (FCN8sAtOnce(4, TINY), {"crop at 1", "crop at 12", "score_pool3"}),
    (OverResidual(2, Residual), {"score_stage3", "score_stage2", "stride 4"}),
    (FCN16s(heads={"sem": 3, "geo": 2}, backbone=TINY), {"score_pool4_geo", "2 x 224 x 224"}),
    (FCN8s(4, TINY, context=PyramidPooling(128)), {"score_fr", "4 x 224 x 224"}),
], ids=["FCN-8s", "AlexNet", "at once", "a backbone of one's own", "heads", "pyramid"])
def test_the_still_of_a_network(model, words, tmp_path, monkeypatch):
    from fcn_numpy.plotting import network

    texts = []
    monkeypatch.setattr(network, "save_figure", lambda figure, path: texts.extend(
        text.get_text() for text in figure.axes[0].texts
    ))
    draw_network(tmp_path / "n.png", model, 224, head="geo" if model.heads else None)
    said = {line for text in texts for line in text.split("\n")}
    assert words <= said, said


def test_a_still_is_of_an_fcn(tmp_path):
    with pytest.raises(ValueError, match="expected an FCN, got LateFusion"):
        draw_network(tmp_path / "n.png", late_fusion(), 64)
