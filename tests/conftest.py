"""Set before NumPy is imported: one thread for matrix products, in the tests and what they start.

Nearly all arrays here are small, and threads of a product cost more than they gain on them. Tests
of work on several threads ask for them.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
