"""FCN-8s in PyTorch, for any backbone of fcn_numpy, as pytorch-fcn has it."""

import torch.nn.functional as F
from torch import nn

from fcn_numpy.models import TINY, VGG16

CROPS = {VGG16: (5, 9, 31), TINY: (1, 1, 12)}


class FCN8s(nn.Module):
    """Scores of shape (N, n_class, H, W) for images of shape (N, 3, H, W)."""

    def __init__(self, n_class, backbone, dropout=0.5):
        super().__init__()
        self.convs = backbone.convs
        self.crops = CROPS[backbone]
        channels = 3
        for stage, (width, convs) in enumerate(zip(backbone.widths, backbone.convs), 1):
            for index in range(1, convs + 1):
                padding = backbone.pad if stage == index == 1 else 1
                conv = nn.Conv2d(channels, width, 3, padding=padding)
                setattr(self, f"conv{stage}_{index}", conv)
                channels = width
        self.fc6 = nn.Conv2d(channels, backbone.fc_width, backbone.fc_kernel)
        self.fc7 = nn.Conv2d(backbone.fc_width, backbone.fc_width, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.score_fr = nn.Conv2d(backbone.fc_width, n_class, 1)
        self.score_pool4 = nn.Conv2d(backbone.widths[3], n_class, 1)
        self.score_pool3 = nn.Conv2d(backbone.widths[2], n_class, 1)
        self.upscore2 = _upsampling(n_class, 2)
        self.upscore_pool4 = _upsampling(n_class, 2)
        self.upscore8 = _upsampling(n_class, 8)

    def forward(self, image):
        x, pools = image, {}
        for stage, convs in enumerate(self.convs, 1):
            for index in range(1, convs + 1):
                x = F.relu(getattr(self, f"conv{stage}_{index}")(x), inplace=True)
            x = pools[stage] = F.max_pool2d(x, 2, 2, ceil_mode=True)
        x = self.dropout(F.relu(self.fc6(x), inplace=True))
        x = self.dropout(F.relu(self.fc7(x), inplace=True))
        x = self.upscore2(self.score_fr(x))
        x = x + _cut(self.score_pool4(pools[4]), x, self.crops[0])
        x = self.upscore_pool4(x)
        x = x + _cut(self.score_pool3(pools[3]), x, self.crops[1])
        return _cut(self.upscore8(x), image, self.crops[2]).contiguous()


def _upsampling(n_class, factor):
    layer = nn.ConvTranspose2d(n_class, n_class, 2 * factor, stride=factor, bias=False)
    layer.weight.requires_grad_(False)  # fixed, as in the paper
    return layer


def _cut(x, like, offset):
    height, width = like.shape[2:]
    return x[:, :, offset : offset + height, offset : offset + width]
