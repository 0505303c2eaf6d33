"""Bytes written to a file and read as weights."""

import pytest

from fcn_numpy import weights


def load_bytes(folder, data):
    """Return the weights of a file of these bytes."""
    (folder / "some.file").write_bytes(data)
    return weights.load(folder / "some.file")


def refusal(folder, data):
    """Return the one line with which a file of these bytes is refused."""
    with pytest.raises(ValueError) as caught:
        load_bytes(folder, data)
    message = str(caught.value)
    assert "some.file" in message and "\n" not in message and len(message) < 700
    return message
