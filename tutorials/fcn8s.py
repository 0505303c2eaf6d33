"""FCN-8s in one file: forward, backward, training. NumPy alone, every gradient by hand.

Read it from top to bottom, then run it: `python fcn8s.py`. Maps are arrays (N, C, H, W), kernels
(F, C, k, k); dx is the loss's gradient with respect to x. `fcn_numpy` computes the same, faster.
"""

import numpy as np


# ---- 1. A convolution is a matrix product ------------------------------------------------------
# y = M x. M itself would be huge and mostly zeros, and its rows repeat the same few weights. So a
# small product suffices: a row of weights per kernel times a column per window of x.
def windows(x, k, stride):
    """View x as its k x k windows: (N, C, k, k, rows, columns)."""
    view = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3), writeable=True)
    return view[:, :, ::stride, ::stride].transpose(0, 1, 4, 5, 2, 3)


def im2col(x, k, stride=1, pad=0):
    """Copy every window of x into a column: (N, C*k*k, rows*columns)."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    return windows(x, k, stride).reshape(len(x), x.shape[1] * k * k, -1)


def col2im(cols, shape, k, stride=1, pad=0):
    """Add every column to the window it came from, in an array of this shape: im2col transposed."""
    n, c, h, w = shape
    x = np.zeros((n, c, h + 2 * pad, w + 2 * pad))
    view = windows(x, k, stride)
    cols = cols.reshape(view.shape)
    for i in range(k):
        for j in range(k):
            view[:, :, i, j] += cols[:, :, i, j]  # for one (i, j), windows share no cell
    return x[:, :, pad : pad + h, pad : pad + w]


def conv(x, w, stride=1, pad=0):
    """y = M x."""
    size = [(n + 2 * pad - w.shape[2]) // stride + 1 for n in x.shape[2:]]
    y = w.reshape(len(w), -1) @ im2col(x, w.shape[2], stride, pad)
    return y.reshape(len(x), len(w), *size)


def conv_transpose(y, w, shape, stride=1, pad=0):
    """x = Mᵀ y: sends gradients back, and upsamples. Several shapes of x fit one y."""
    cols = w.reshape(len(w), -1).T @ y.reshape(*y.shape[:2], -1)
    return col2im(cols, shape, w.shape[2], stride, pad)


def conv_weight(x, dy, k, pad=0):
    """y is linear in w too: dw = dy im2col(x)ᵀ, summed over the images (at stride 1)."""
    dw = dy.reshape(*dy.shape[:2], -1) @ im2col(x, k, 1, pad).transpose(0, 2, 1)
    return dw.sum(axis=0).reshape(dy.shape[1], x.shape[1], k, k)


# ---- 2. Layers: forward, and below it backward -------------------------------------------------
# backward takes dy and returns dx, using what forward kept.
class Conv:
    def __init__(self, c, f, k, pad=0, rng=None):
        self.w, self.b, self.pad = np.zeros((f, c, k, k)), np.zeros(f), pad
        if rng is not None:  # He: outputs stay as large as inputs. Score layers start at zero.
            self.w = rng.standard_normal(self.w.shape) * np.sqrt(2 / (c * k * k))

    def forward(self, x):
        self.x = x
        return conv(x, self.w, pad=self.pad) + self.b[:, None, None]

    def backward(self, dy):
        self.dw = conv_weight(self.x, dy, self.w.shape[2], self.pad)
        self.db = dy.sum(axis=(0, 2, 3))
        return conv_transpose(dy, self.w, self.x.shape, pad=self.pad)


class ReLU:
    def forward(self, x):
        self.positive = x > 0
        return x * self.positive

    def backward(self, dy):
        return dy * self.positive


class MaxPool:  # the largest of 2 x 2 cells; an odd last row or column is padded, not dropped
    def forward(self, x):
        self.shape = n, c, h, w = x.shape
        x = np.pad(x, ((0, 0), (0, 0), (0, h % 2), (0, w % 2)), constant_values=-np.inf)
        cells = np.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])
        self.winner = cells.argmax(axis=0)
        return cells.max(axis=0)

    def backward(self, dy):
        n, c, h, w = self.shape
        dx = np.zeros((n, c, h + h % 2, w + w % 2))
        for number, (i, j) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            dx[:, :, i::2, j::2] = dy * (self.winner == number)
        return dx[:, :, :h, :w]


class Dropout:  # drops whole channels with probability p, and scales the others up
    def __init__(self, p, rng):
        self.p, self.rng = p, rng

    def forward(self, x):
        self.factor = (self.rng.random((*x.shape[:2], 1, 1)) >= self.p) / (1 - self.p)
        return x * self.factor

    def backward(self, dy):
        return dy * self.factor


class Upsample:  # bilinear and fixed, each class by itself: a strided convolution transposed
    def __init__(self, classes, stride):
        tent = 1 - np.abs(np.arange(2 * stride) - stride + 0.5) / stride
        self.w = np.eye(classes)[:, :, None, None] * np.outer(tent, tent)
        self.stride = stride

    def forward(self, x):
        (n, c, h, w), s = x.shape, self.stride
        return conv_transpose(x, self.w, (n, c, (h + 1) * s, (w + 1) * s), s)  # (h - 1) s + 2 s

    def backward(self, dy):
        return conv(dy, self.w, self.stride)  # the transpose of the transpose


class Chain:
    def __init__(self, *layers):
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


def crop(x, offset, like):
    """Cut x to the size of another map, starting at row and column `offset`."""
    return x[:, :, offset : offset + like.shape[2], offset : offset + like.shape[3]]


def uncrop(dy, offset, shape):
    """Put zeros around the gradient: the backward of crop."""
    dx = np.zeros(shape)
    crop(dx, offset, dy)[...] = dy
    return dx


def cross_entropy(scores, labels, ignore=255):
    """The mean over labeled pixels of -log softmax(scores)[label], and its gradient."""
    labeled = labels != ignore
    one_hot = np.where(labeled, labels, 0)[:, None] == np.arange(scores.shape[1])[:, None, None]
    scores = scores - scores.max(axis=1, keepdims=True)
    log_softmax = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    loss = -(log_softmax * one_hot).sum(axis=1)[labeled].mean()
    return loss, (np.exp(log_softmax) - one_hot) * labeled[:, None] / labeled.sum()


# ---- 3. FCN-8s ---------------------------------------------------------------------------------
class FCN8s:
    """The paper's figure 3, on VGG16 by default. 08_where_am_i.md derives `pad` and `crops`:

    cell 0 of the upsampled scores lies on cell 5 of pool4, then on 9 of pool3; pixel 0 on score 31.
    """

    def __init__(self, classes, rng, widths=(64, 128, 256, 512, 512), convs=(2, 2, 3, 3, 3),
                 fc=4096, fc_kernel=7, pad=100, crops=(5, 9, 31)):
        self.stages, self.crops, c = [], crops, 3
        for width, count in zip(widths, convs):
            layers = []
            for _ in range(count):
                layers += [Conv(c, width, 3, pad, rng), ReLU()]
                c, pad = width, 1
            self.stages.append(Chain(*layers, MaxPool()))
        self.head = Chain(  # the classifier's layers fc6 and fc7 as convolutions, then score_fr
            Conv(c, fc, fc_kernel, 0, rng), ReLU(), Dropout(0.5, rng),
            Conv(fc, fc, 1, 0, rng), ReLU(), Dropout(0.5, rng), Conv(fc, classes, 1),
        )
        self.score4, self.score3 = Conv(widths[3], classes, 1), Conv(widths[2], classes, 1)
        self.up2, self.up4, self.up8 = (Upsample(classes, stride) for stride in (2, 2, 8))

    def forward(self, image):
        x, pools = image, []
        for stage in self.stages:
            x = stage.forward(x)
            pools.append(x)
        s = self.up2.forward(self.head.forward(x))  # stride 32 to 16
        fine4, fine3 = self.score4.forward(pools[3]), self.score3.forward(pools[2])
        s = self.up4.forward(s + crop(fine4, self.crops[0], s))  # fuse, 16 to 8
        s = self.up8.forward(s + crop(fine3, self.crops[1], s))  # fuse, 8 to 1
        self.shapes = fine4.shape, fine3.shape, s.shape
        return crop(s, self.crops[2], image)

    def backward(self, dy):
        ds = self.up8.backward(uncrop(dy, self.crops[2], self.shapes[2]))
        dpool3 = self.score3.backward(uncrop(ds, self.crops[1], self.shapes[1]))
        ds = self.up4.backward(ds)  # a sum hands its gradient to both sides
        dpool4 = self.score4.backward(uncrop(ds, self.crops[0], self.shapes[0]))
        dx = self.stages[4].backward(self.head.backward(self.up2.backward(ds)))
        dx = self.stages[3].backward(dx + dpool4)  # pool4 was used twice: both gradients count
        dx = self.stages[2].backward(dx + dpool3)
        return self.stages[0].backward(self.stages[1].backward(dx))

    def convs(self):
        """The layers that learn: conv1_1 ... fc7, score_fr, score_pool4, score_pool3."""
        layers = [layer for chain in (*self.stages, self.head) for layer in chain.layers]
        return [layer for layer in layers if isinstance(layer, Conv)] + [self.score4, self.score3]


# ---- 4. SGD, as in Caffe -----------------------------------------------------------------------
def sgd_step(model, lr, momentum=0.9, decay=5e-4):
    for layer in model.convs():  # biases learn at twice the rate, and do not decay
        layer.vw = momentum * getattr(layer, "vw", 0) + lr * (layer.dw + decay * layer.w)
        layer.vb = momentum * getattr(layer, "vb", 0) + 2 * lr * layer.db
        layer.w -= layer.vw
        layer.b -= layer.vb


# ---- 5. It runs: red discs (1) and blue squares (2) on noise (0) -------------------------------
def draw(rng, size=64):
    labels, (row, column) = np.zeros((1, size, size), int), np.mgrid[:size, :size]
    for label, middle in ((1, 16), (2, 47)):
        y, x, r = rng.integers(12, size - 12), middle + rng.integers(-4, 5), rng.integers(6, 12)
        down, right = np.abs(row - y), np.abs(column - x)
        labels[0, (np.hypot(down, right) if label == 1 else np.maximum(down, right)) <= r] = label
    image = rng.standard_normal((1, 3, size, size))
    image[:, [0, 2]] += 2 * np.stack([labels == 1, labels == 2], axis=1)
    return image, labels


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    model = FCN8s(3, rng, widths=(8, 16, 32, 64, 64), fc=128, fc_kernel=3, pad=17, crops=(1, 1, 12))
    for step in range(1, 401):
        image, labels = draw(rng)
        loss, dscores = cross_entropy(model.forward(image), labels)
        model.backward(dscores)
        sgd_step(model, lr=0.01 * (1 - step / 401))
        if step == 1 or step % 80 == 0:
            print(f"step {step}: loss {loss:.3f}")
    model.head.layers[2].p = model.head.layers[5].p = 0  # after training, nothing is dropped
    image, labels = draw(rng)
    out = model.forward(image).argmax(axis=1)
    iu = [((out == k) & (labels == k)).sum() / ((out == k) | (labels == k)).sum() for k in range(3)]
    print("A new image: labels, predictions; IU of noise, disc, square:", *np.round(iu, 2))
    for row in np.concatenate([labels[0], out[0]], axis=1)[::4, ::2]:
        print("".join(".o#"[label] for label in row[:32]), "".join(".o#"[k] for k in row[32:]))
