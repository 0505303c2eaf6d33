"""Copy weights in half precision, with what they say about their classes.

    fcn-numpy train --out runs/shapes
    python tutorials/weights/halve.py runs/shapes/fcn8s.npz tutorials/weights/fcn8s.npz
"""

import sys

import numpy as np

from fcn_numpy import weights

source, target = sys.argv[1:]
state = {name: value.astype(np.float16) for name, value in weights.load(source).items()}
weights.save(target, state, weights.read_metadata(source))
