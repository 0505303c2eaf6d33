"""What holds for all tests.

One thread for matrix products, in the tests and what they start: nearly all arrays here are small,
and threads of a product cost more than they gain on them. It is set before NumPy is imported. Tests
of work on several threads ask for them.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from fcn_numpy.convolution import algorithm


@pytest.fixture(params=["fast", "plain"])
def both_algorithms(request):
    """Run a test with the engine room, and once more with the textbook alone."""
    with algorithm("auto" if request.param == "fast" else "plain"):
        yield


@pytest.fixture(scope="session", autouse=True)
def page_runs(request, tmp_path_factory):
    """Runs of the tutorials that are asked for: the folder each draws into, and its new text to be.

    They begin with the first test, whichever that is, as they take seconds beside the others.
    """
    pool, runs = ThreadPoolExecutor(2), {}
    for item in request.session.items:
        if item.name.startswith("test_a_page_prints_what_stands_there["):
            path = item.callspec.params["path"]
            folder = tmp_path_factory.mktemp(path.stem)
            runs[path] = folder, pool.submit(item.module.run_page, path, folder)
    yield runs
    pool.shutdown(cancel_futures=True)
