"""fcn-numpy explain: show what each stream of a network contributes to a pixel's scores."""

from __future__ import annotations

import argparse
import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np

from fcn_numpy.card import card_of
from fcn_numpy.cli.images import add_image_options, read, read_second, seconds_of
from fcn_numpy.cli.options import (
    check_one_head,
    describe,
    parse_classes,
    percentiles_of,
    print_unnamed,
    whole_number,
)
from fcn_numpy.data import Classes
from fcn_numpy.data.images import is_ours
from fcn_numpy.explain import Explanation, explain
from fcn_numpy.files import atomic_write
from fcn_numpy.models import from_file
from fcn_numpy.plotting import draw_explanation, use_defaults
from fcn_numpy.prediction import network_inputs

DESCRIPTION = """\
Show how a network arrives at the scores of one pixel. The scores of FCN-8s are the sum of
three streams: the contributions of score_fr, score_pool4 and score_pool3. The command
prints the contributions for every class, and writes two files to --out:

  NAME_streams.csv    the same table
  NAME_explained.png  the streams, their running sum, the receptive field of the pixel,
                      and the gradient of the pixel's largest score

For a network with several heads, it writes two files for each head: NAME_sem_streams.csv
and so on. Files that another program wrote are not replaced.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to its parser."""
    parser.description = DESCRIPTION
    parser.add_argument("image", type=Path, metavar="IMAGE", help="an image file")
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE",
        help="weights of an FCN, as for `fcn-numpy predict`",
    )
    parser.add_argument(
        "--at", type=whole_number(0), nargs=2, required=True, metavar=("ROW", "COLUMN"),
        help="row and column of the pixel, counted from 0 at the top left",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("explained"), metavar="DIR",
        help="folder for the results, created if missing (default: %(default)s)",
    )
    add_image_options(parser)


def run(options: argparse.Namespace) -> int:
    """Explain the scores of a pixel: print the table, and write the table and the figure."""
    model = from_file(options.weights)
    classes, _ = parse_classes(options.classes)
    card = card_of(options.weights, model, beside=classes is None, dataset=options.dataset)
    if classes is not None:
        check_one_head(model)
        card.matched(classes, model.n_class, options.weights)
        if card.classes is None:
            card = replace(card, classes=classes)
    card = replace(card, percentiles=percentiles_of(options, card))
    second = seconds_of(model, [options.image], options).get(options.image)
    image = read(options.image, card)
    other = None if second is None else read_second(second, options.image, image, options)
    row, column = options.at
    if row >= image.shape[1] or column >= image.shape[2]:
        raise ValueError(
            f"--at: expected a row below {image.shape[1]} and a column below {image.shape[2]}, "
            f"got {row} and {column}"
        )
    results = {}
    for head in model.heads or [""]:
        name = "_".join(filter(None, (options.image.stem, head)))
        results[head] = options.out / f"{name}_streams.csv", options.out / f"{name}_explained.png"
        _check_ours(*results[head])
    print(describe(model))
    print_unnamed(card, model)
    images = network_inputs(model, image, other, means=card.means)
    with np.errstate(over="ignore", invalid="ignore"):  # it shows in the scores
        found = explain(model, images if len(images) > 1 else images[0], (row, column))
    heads = found if isinstance(found, dict) else {"": found}
    if not all(np.isfinite(explanation.scores).all() for explanation in heads.values()):
        raise ValueError("the scores are not finite: do these weights come from a training that "
                         "diverged?")
    options.out.mkdir(parents=True, exist_ok=True)
    use_defaults()
    for head, explanation in heads.items():
        names = card.of_heads(model)[head]
        table = table_of(explanation, names)
        print(f"\n{head + ': ' if head else ''}row {row}, column {column}")
        print(text_of(table))
        print(sentences_about(explanation, names))
        csv_path, figure_path = results[head]
        with atomic_write(csv_path) as file:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(table)
            file.write(text.getvalue().encode())
        draw_explanation(figure_path, explanation, image, names)
    print(f"\nThe results are in {options.out}.")
    return 0


def _check_ours(table: Path, figure: Path) -> None:
    """Raise ValueError if a result would replace a file that this program did not write."""
    # A table says nothing about its origin; the figure that was written with it does.
    if (table.exists() or figure.exists()) and not (figure.exists() and is_ours(figure)):
        raise ValueError(
            f"{table if table.exists() else figure} exists, and was not written by this program: "
            "choose another --out"
        )


def table_of(explanation: Explanation, classes: Classes) -> list[list[str]]:
    """Return a row for each class: each stream's contribution, and the score; largest first."""
    rows = [["class", *explanation.contributions, "score"]]
    for k in np.argsort(-explanation.scores, kind="stable"):
        values = [c[k] for c in explanation.contributions.values()]
        rows.append([classes.names[k], *(f"{v:.4f}" for v in (*values, explanation.scores[k]))])
    return rows


def text_of(table: list[list[str]]) -> str:
    """Return a table as text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*table)]
    return "\n".join(
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths)))
        for row in table
    )


def sentences_about(explanation: Explanation, classes: Classes) -> str:
    """Describe the margin between the two best classes, and the receptive field of the pixel."""
    lines = []
    if explanation.winner != explanation.runner_up:
        first, second = (
            classes.names[n] for n in (explanation.winner, explanation.runner_up)
        )
        margins = explanation.margins
        parts = ", ".join(f"{name} {value:+.4f}" for name, value in margins.items())
        lines.append(f"{first} over {second} by {sum(margins.values()):.4f}: {parts}")
    fields = ", ".join(
        f"{name} {field.size[0]} x {field.size[1]}" for name, field in explanation.fields.items()
    )
    lines.append(f"receptive field in pixels: {fields}")
    shares = ", ".join(
        f"{share:.0%} in {size} x {size}" for size, share in explanation.shares.items()
    )
    if shares:
        winner = classes.names[explanation.winner]
        lines.append(f"share of the gradient of {winner}'s score: {shares}")
    return "\n".join(lines)
