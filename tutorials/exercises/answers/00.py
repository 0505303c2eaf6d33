"""Model answers to 00.py, and what graders say to common mistakes."""


def crop_offset(start, target, stride):
    offset = (target - start) / stride
    if offset < 0 or offset != int(offset):
        raise ValueError(f"expected a whole number of cells from 0, got {offset}")
    return int(offset)


def fuse(coarse, fine, offset):
    _, h, w = coarse.shape
    return coarse + fine[:, offset : offset + h, offset : offset + w]


def _in_place(coarse, fine, offset):
    _, h, w = coarse.shape
    coarse += fine[:, offset : offset + h, offset : offset + w]
    return coarse


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("crop_offset", lambda start, target, stride: crop_offset(target, start, stride), "the sign"),
    ("crop_offset", lambda start, target, stride: int(target - start), "How many cells"),
    ("crop_offset", lambda start, target, stride: (target - start) / stride, "Expected an int"),
    ("crop_offset", lambda start, target, stride: int((target - start) / stride), "whole number"),
    ("fuse", lambda c, f, o: c + f[:, o - 1 : o - 1 + c.shape[1], o - 1 : o - 1 + c.shape[2]],
     "beginning at row"),
    ("fuse", _in_place, "was changed"),
]
