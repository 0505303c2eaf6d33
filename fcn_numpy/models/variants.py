"""The paper's networks, and the feature maps that each one fuses."""

from fcn_numpy.models.fcn import FCN
from fcn_numpy.models.skip import SkipNames

POOL4 = SkipNames("pool4", score="score_pool4", upscore="upscore2")
POOL3 = SkipNames("pool3", score="score_pool3", upscore="upscore_pool4")


class FCN32s(FCN):
    """FCN-32s: upsample the scores at stride 32 in one step."""

    skips, upscore_name = (), "upscore"


class FCN16s(FCN):
    """FCN-16s: fuse the scores of pool4 at stride 16."""

    skips, upscore_name = (POOL4,), "upscore16"


class FCN8s(FCN):
    """FCN-8s: fuse the scores of pool4 at stride 16, then the scores of pool3 at stride 8."""

    skips, upscore_name = (POOL4, POOL3), "upscore8"


class FCN8sAtOnce(FCN):
    """FCN-8s trained in one stage: scaling the pools evens out the score layers' learning rates."""

    skips = (POOL4._replace(scale=0.01), POOL3._replace(scale=0.0001))
    upscore_name = "upscore8"
