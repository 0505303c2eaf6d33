"""TIFF and PNG files by hand, in layouts that Pillow reads but does not write."""

import struct
import zlib

import numpy as np

ORIENTATION, SAMPLE_FORMAT = 274, 339
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6  # color types of PNG


def write_tiff(
    path, values, order="<", planar=1, deflate=False, white_is_zero=False, extra=(), more=(),
):
    """Write an array as a TIFF file of one strip, or of one strip per channel.

    values is uint8 or uint16 (or signed), (H, W) or (H, W, channels). order is "<" or ">". With
    planar=2 the channels follow one another. extra is ExtraSamples, what channels beyond the
    colors mean: 0 nothing, 1 premultiplied alpha, 2 alpha. more are further tags of one number.
    """
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    bits = 8 * values.dtype.itemsize
    stored = values.astype(values.dtype.newbyteorder(order)).reshape(height, width, channels)
    planes = [stored[..., i] for i in range(channels)] if planar == 2 else [stored]
    strips = [plane.tobytes() for plane in planes]
    if deflate:
        strips = [zlib.compress(strip) for strip in strips]
    offsets = np.cumsum([8] + [len(strip) for strip in strips]).tolist()
    gray = 0 if white_is_zero else 1
    tags = {
        256: [width], 257: [height], 258: [bits] * channels, 259: [8 if deflate else 1],
        262: [gray if channels - len(extra) == 1 else 2], 273: offsets[:-1], 277: [channels],
        278: [height], 279: [len(strip) for strip in strips], 284: [planar],
        **({338: list(extra)} if extra else {}), **{tag: [value] for tag, value in more},
    }
    directory = offsets[-1]
    entries, beyond = b"", b""
    place = directory + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        kind, letter = (4, "I") if tag in (273, 279) else (3, "H")
        data = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(data) > 4:
            beyond, data = beyond + data, struct.pack(f"{order}I", place + len(beyond))
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + data.ljust(4, b"\0")
    mark = b"II" if order == "<" else b"MM"
    path.write_bytes(
        mark + struct.pack(f"{order}HI", 42, directory) + b"".join(strips)
        + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + beyond
    )
    return path


def write_png(path, values, bits, kind, interlaced=False, **chunks):
    """Write an array as a PNG file; chunks such as PLTE=b"..." come before the pixels."""
    passes = [values]
    if interlaced:  # Adam7: first column and row, and the steps
        passes = [values[y::dy, x::dx] for x, y, dx, dy in (
            (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
            (0, 1, 1, 2),
        )]
    rows = b"".join(b"\0" + _packed(row, bits) for part in passes if part.size for row in part)
    height, width = values.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    parts = [("IHDR", head), *chunks.items(), ("IDAT", zlib.compress(rows)), ("IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name.encode() + data
        + struct.pack(">I", zlib.crc32(name.encode() + data)) for name, data in parts
    ))
    return path


def _packed(row, bits):
    if bits == 16:
        return row.astype(">u2").tobytes()
    few = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - bits :]
    return np.packbits(few).tobytes()
