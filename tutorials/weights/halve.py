"""Copy the networks of a training run to this folder in half precision.

    fcn-numpy train --out runs/shapes
    python tutorials/weights/halve.py runs/shapes
"""

import sys
from pathlib import Path

import numpy as np

from fcn_numpy import weights

for name in ("fcn32s.npz", "fcn16s.npz", "fcn8s.npz"):
    source = Path(sys.argv[1]) / name
    state = {key: value.astype(np.float16) for key, value in weights.load(source).items()}
    weights.save(Path(__file__).parent / name, state, weights.read_metadata(source))
