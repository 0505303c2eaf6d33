"""Backbones like VGG16, with other numbers."""

from fcn_numpy.models import FCN, VGG, SkipNames


def vgg(name, widths, convs, fc_width, fc_kernel, pad):
    """Make a backbone of VGG's layers from its numbers."""
    numbers = {
        "name": name, "widths": widths, "convs": convs, "fc_width": fc_width,
        "fc_kernel": fc_kernel, "pad": pad,
    }
    return type(name, (VGG,), numbers)


def fcn(skips):
    """Make a kind of FCN that fuses the pools of some stages, given as {stage: factor}."""
    names, upscore = [], "upscore"
    for stage, scale in skips.items():
        upscore = "upscore2" if upscore == "upscore" else f"upscore_pool{stage + 1}"
        names.append(SkipNames(f"pool{stage}", f"score_pool{stage}", upscore, scale))
    last = f"upscore{2 ** min(skips)}" if skips else "upscore"
    return type("Fused", (FCN,), {"skips": tuple(names), "upscore_name": last})
