"""Weight files in and out."""

from fcn_numpy.weights.npz import load, save

__all__ = ["load", "save"]
