"""Grades 08.py."""

import pytest
from grading import no_error, same

VGG = [(3, 1, 100, 1), (3, 1, 1, 1), (2, 2, 0, 1), (3, 1, 1, 1), (3, 1, 1, 1), (2, 2, 0, 1)]
VGG += 2 * [(3, 1, 1, 1), (3, 1, 1, 1), (3, 1, 1, 1), (2, 2, 0, 1)]
POOL3, POOL4, FC6 = (8, -95.5), (16, -91.5), (32, 12.5)
IMAGE = (1, 0)


def numbers(values):
    return [float(value) for value in values]


def refuse(crop_offset, source, target, hint):
    try:
        crop_offset(source, target)
    except ValueError:
        return
    pytest.fail(hint, pytrace=False)


def test_place_of_the_image(mine):
    same(numbers(mine.place([])), [1, 0, 1],
         "Without layers the map is the image: scale 1, shift 0, and a pixel sees itself.")


def test_place_after_one_layer(mine):
    same(numbers(mine.place([(5, 1, 1, 1)])), [1, 1, 5],
         "The first window begins at cell -padding, and its middle is (kernel - 1) / 2 further on.")


def test_place_after_a_pooling_layer(mine):
    same(numbers(mine.place([(2, 2, 0, 1), (3, 1, 0, 1)])), [2, 2.5, 6],
         "The second layer's cells are 2 pixels apart: multiply what it adds by the scale.")


def test_place_uses_the_scale_of_the_input(mine):
    same(numbers(mine.place([(3, 1, 0, 1), (4, 2, 0, 1)])), [2, 2.5, 6],
         "Shift and field grow by the scale of the layer's input. Update the scale last.")


def test_place_of_dilated_kernels(mine):
    same(numbers(mine.place([(2, 2, 0, 1), (3, 1, 2, 2)])), [2, 0.5, 10],
         "With dilation d, the last cell of a window is d * (kernel - 1) cells from the first. "
         "That is the length to use for the middle of the window and for the field.")


def test_place_of_pool4(mine):
    same(numbers(mine.place(VGG)), [16, -91.5, 100],
         "These are VGG16's layers up to pool4. Compare your lines with the table on the page.")


def test_crop_offset(mine):
    hint = ("Cell `offset` of the source is at the shift of the target. Is the sign right? Is it "
            "in cells and not in pixels?")
    with no_error(hint):
        got = mine.crop_offset(POOL4, (16, -11.5))
    same(got, 5, hint)


def test_crop_offset_refuses_other_scales(mine):
    refuse(mine.crop_offset, (8, -4), (4, 0),
           "Maps of different scales cannot line up: raise ValueError.")


def test_crop_offset_refuses_half_cells(mine):
    refuse(mine.crop_offset, (4, 0), (4, 2),
           "An offset of half a cell cannot be cropped: raise ValueError instead of rounding.")


def test_crop_offset_refuses_what_begins_too_late(mine):
    refuse(mine.crop_offset, (1, 80), IMAGE,
           "The map begins after the target does, so there is nothing to crop: raise ValueError.")


def test_crops_without_skips(mine):
    hint = ("FCN-32s: upsample by 32 with a kernel of 64, then crop the scores to the image. The "
            "shift of a transposed convolution uses the new scale.")
    with no_error(hint):
        got = mine.crops(FC6, [IMAGE])
    same(got, [19], hint)


def test_crops_of_fcn16s_and_fcn8s(mine):
    hint = ("FCN-16s crops pool4's map to the scores, and then the scores to the image: mind which "
            "of the two is cropped.")
    with no_error(hint):
        got = mine.crops(FC6, [POOL4, IMAGE])
    same(got, [5, 27], hint)
    same(mine.crops(FC6, [POOL4, POOL3, IMAGE]), [5, 9, 31],
         "FCN-8s adds two maps. After each sum the scores are where they were upsampled to.")
