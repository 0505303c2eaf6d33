"""Model answers to 08.py, and what graders say to common mistakes."""

from fractions import Fraction


def place(layers):
    scale, shift, field = Fraction(1), Fraction(0), 1
    for kernel, stride, padding, dilation in layers:
        length = dilation * (kernel - 1)
        shift += scale * (Fraction(length, 2) - padding)
        field += scale * length
        scale *= stride
    return scale, shift, field


def crop_offset(source, target):
    if source[0] != target[0]:
        raise ValueError(f"different scales: {source[0]} and {target[0]}")
    offset = Fraction(target[1] - source[1]) / Fraction(source[0])
    if offset.denominator != 1 or offset < 0:
        raise ValueError(f"no crop at {offset}")
    return int(offset)


def crops(coarse, finer):
    scale, shift = map(Fraction, coarse)
    offsets = []
    for number, target in enumerate(finer, 1):
        factor = scale / target[0]
        scale /= factor
        shift -= scale * (2 * factor - 1) / 2
        scores = scale, shift
        last = number == len(finer)
        offsets.append(crop_offset(scores, target) if last else crop_offset(target, scores))
    return offsets


def _scale_first(layers):
    scale, shift, field = Fraction(1), Fraction(0), 1
    for kernel, stride, padding, dilation in layers:
        scale *= stride
        shift += scale * (Fraction(dilation * (kernel - 1), 2) - padding)
        field += scale * dilation * (kernel - 1)
    return scale, shift, field


def _no_scale(layers):
    scale, shift, field = Fraction(1), Fraction(0), 1
    for kernel, stride, padding, dilation in layers:
        shift += Fraction(dilation * (kernel - 1), 2) - padding
        field += dilation * (kernel - 1)
        scale *= stride
    return scale, shift, field


def _no_refusal(source, target):
    return (target[1] - source[1]) / source[0]


def _crops_scores(coarse, finer):
    scale, shift = map(Fraction, coarse)
    offsets = []
    for target in finer:
        factor = scale / target[0]
        scale /= factor
        shift -= scale * (2 * factor - 1) / 2
        offsets.append((target[1] - shift) / scale)
    return [int(offset) for offset in offsets]


def _old_scale(coarse, finer):
    return [int(coarse[0] * (2 * coarse[0] / finer[-1][0] - 1) / 2 - coarse[1])] * len(finer)


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("place", _scale_first, "Update the scale last"),
    ("place", _no_scale, "multiply what it adds by the scale"),
    ("place", lambda layers: place([(*layer[:3], 1) for layer in layers]), "dilation d"),
    ("crop_offset", lambda source, target: (source[1] - target[1]) / source[0], "the sign"),
    ("crop_offset", lambda source, target: target[1] - source[1], "not in pixels"),
    ("crop_offset", lambda source, target: int((target[1] - source[1]) / source[0]), "half a cell"),
    ("crop_offset", _no_refusal, "begins after the target"),
    ("crops", _crops_scores, "which of the two is cropped"),
    ("crops", _old_scale, "the new scale"),
]
