"""Measure fcn_numpy beside PyTorch and beside a plain im2col; write a table and a plot.

``python benchmarks/run.py`` in an environment with fcn_numpy, and with PyTorch if it is to be
compared. Each contestant is a process of its own. They take turns on every row, and rest between
turns, so that no one's threads are in another's way. What is shown are medians of the times, and
medians of the ratios within a round.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
REST = 0.1  # seconds between turns; OpenBLAS's threads wait that long for more work

# Name, how many there are in FCN-8s, channels, filters, size of the map, kernel, padding:
# the convolutions of FCN-8s for a picture of 224 x 224.
LAYERS = [
    ("conv1_1", 1, 3, 64, 224, 3, 100),
    ("conv1_2", 1, 64, 64, 422, 3, 1),
    ("conv2_1", 1, 64, 128, 211, 3, 1),
    ("conv2_2", 1, 128, 128, 211, 3, 1),
    ("conv3_1", 1, 128, 256, 106, 3, 1),
    ("conv3_2, 3_3", 2, 256, 256, 106, 3, 1),
    ("conv4_1", 1, 256, 512, 53, 3, 1),
    ("conv4_2, 4_3", 2, 512, 512, 53, 3, 1),
    ("conv5_1 to 5_3", 3, 512, 512, 27, 3, 1),
    ("fc6", 1, 512, 4096, 14, 7, 0),
    ("fc7", 1, 4096, 4096, 8, 1, 0),
]
FUNCTIONS = {
    "conv2d": "forward", "conv2d_input": "gradient of x", "conv2d_weight": "gradient of w"
}
ALL = ("fcn_numpy", "PyTorch", "plain")
HEAD = ["fcn_numpy", "PyTorch", "plain im2col", "of PyTorch's", "of im2col's"]
PARTS = ("networks", "memory", "layers", "growth", "dense")


class Contestant:
    """A process that does tasks."""

    def __init__(self, name, threads):
        self.command = [sys.executable, str(HERE / "contestant.py"), name, str(threads)]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE
        )

    def seconds(self, task):
        """Do a task; return how long it took."""
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.command[2]} failed at {task}")
        return float(answer)

    def memory(self, task):
        """Do a task in a fresh process; return its peak memory in bytes."""
        command = [*self.command, json.dumps(task)]
        return int(subprocess.run(command, stdout=subprocess.PIPE, cwd=HERE, check=True).stdout)


class Times:
    """Seconds of several contestants, round by round."""

    def __init__(self, rounds):
        self._of = {name: [times[name] for times in rounds] for name in rounds[0]}

    def __contains__(self, name):
        return name in self._of

    def median(self, name):
        """Median time."""
        return statistics.median(self._of[name])

    def ratio(self, other, one="fcn_numpy"):
        """Median over the rounds of one's time by the other's."""
        return statistics.median(a / b for a, b in zip(self._of[one], self._of[other]))


class Benchmark:
    """All contestants, and how often each of them does a task."""

    def __init__(self, names, threads, rounds):
        self.contestants = {name: Contestant(name, threads) for name in names}
        self.rounds = rounds

    def times(self, task, names, rounds=None):
        """Let contestants do a task by turns."""
        names = [name for name in names if name in self.contestants]
        print(*task, "...", end=" ", flush=True, file=sys.stderr)
        all_rounds = []
        for _ in range(rounds or self.rounds):
            times = {}
            for name in names:
                time.sleep(REST)
                times[name] = self.contestants[name].seconds(task)
            all_rounds.append(times)
        times = Times(all_rounds)
        print(*(f"{name} {seconds(times.median(name))}" for name in names), file=sys.stderr)
        return times

    def memory(self, task, names):
        """Peak memory of each contestant at a task."""
        return {n: c.memory(task) for n, c in self.contestants.items() if n in names}


def seconds(value):
    """A time in words."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def table(head, rows):
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def compared(label, times):
    """A row: the three times, and the ratios to the other two."""
    row = [label]
    row += [seconds(times.median(n)) if n in times else "" for n in ALL]
    return row + [f"{times.ratio(n):.2f}" if n in times else "" for n in ALL[1:]]


def networks(bench):
    """Whole networks: the real one, and a step of the tiny one."""
    rows = [
        compared("FCN-8s, forward", bench.times(("forward", 1, 224), ALL)),
        compared("FCN-8s, forward and backward", bench.times(("forward_backward", 1, 224), ALL)),
        compared(
            "tiny FCN-8s, 10 training steps",
            bench.times(("tiny_steps", 10), ("fcn_numpy", "PyTorch")),
        ),
    ]
    return table(["", *HEAD], rows)


def memory(bench):
    """Peak memory of whole networks."""
    rows = []
    for label, task in (("forward", "forward"), ("forward and backward", "forward_backward")):
        peak = bench.memory((task, 1, 224), ALL)
        rows.append([
            f"FCN-8s, {label}",
            *(f"{peak[n] / 1e9:.2f} GB" if n in peak else "" for n in ALL),
            *(f"{peak['fcn_numpy'] / peak[n]:.2f}" if n in peak else "" for n in ALL[1:]),
        ])
    return table(["peak memory", *HEAD], rows)


def layers(bench):
    """Each convolution. Returns the table, and the forward times for the plot."""
    rows, forward = [], []
    for name, _, *shape in LAYERS:
        for function, label in FUNCTIONS.items():
            names = (*ALL, "product") if function == "conv2d" else ALL
            times = bench.times((function, *shape), names)
            if function == "conv2d":
                limit = times.median("product")
                forward.append((name, {n: times.median(n) for n in names if n in times}))
            row = compared(f"{name}, {label}", times)
            rows.append([*row, seconds(limit), f"{times.median('fcn_numpy') / limit:.2f}"])
    return table(["", *HEAD, "matrix product", "of its time"], rows), forward


def totals(bench_layers):
    """Sum of all convolutions of a network, forward."""
    count = {name: number for name, number, *_ in LAYERS}
    return {
        n: sum(count[name] * times[n] for name, times in bench_layers)
        for n in bench_layers[0][1]
    }


def growth(bench):
    """FCN-8s forward against the picture's size and against the batch's."""
    rows = []
    for batch, size in [(1, 64), (1, 128), (1, 256), (1, 512), (2, 128), (4, 128), (8, 128)]:
        times = bench.times(("forward", batch, size), ALL[:2], max(3, bench.rounds // 2))
        # conv1_1 pads each picture by 100, so its output is 198 wider and higher.
        cells = batch * (size + 198) ** 2 / 1e6
        rows.append([
            f"{batch} x {size} x {size}",
            f"{cells:.2f}",
            *(seconds(times.median(n)) if n in times else "" for n in ALL[:2]),
            f"{times.ratio('PyTorch'):.2f}" if "PyTorch" in times else "",
            f"{times.median('fcn_numpy') / cells:.2f} s",
        ])
    head = ["pictures", "million cells of conv1_1", *HEAD[:2], HEAD[3], "per million cells"]
    return table(head, rows)


def dense(bench):
    """A classifier as a map of 10 x 10 scores: at once, and window by window."""
    cells = 10
    at_once = bench.times(("dense_map", cells), ALL[:1])
    windows = bench.times(("window_by_window", cells), ALL[:1], 1)
    one, many = at_once.median("fcn_numpy"), windows.median("fcn_numpy")
    rows = [[f"{cells} x {cells}", seconds(one), seconds(many), f"{many / one:.1f}"]]
    return table(["VGG16's scores", "at once", "window by window", "times faster"], rows)


def plot(forward, path):
    """Draw each layer's time against that of its matrix product."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    names = [n for n in ("plain", "PyTorch", "fcn_numpy") if n in forward[0][1]]
    labels = {"plain": "plain im2col"}
    colors = {"plain": "#E69F00", "PyTorch": "#56B4E9", "fcn_numpy": "#0072B2"}  # Okabe and Ito's
    height = 0.8 / len(names)
    for k, name in enumerate(names):
        places = [i + (k - (len(names) - 1) / 2) * height for i in range(len(forward))]
        values = [1e3 * times[name] for _, times in forward]
        axes.barh(places, values, height, color=colors[name], label=labels.get(name, name))
    for i, (_, times) in enumerate(forward):
        limit = 1e3 * times["product"]
        label = "matrix product of im2col alone" if i == 0 else None
        axes.plot([limit, limit], [i - 0.45, i + 0.45], color="black", label=label)
    axes.set_yticks(range(len(forward)), [name for name, _ in forward])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds, forward")
    axes.legend()
    figure.savefig(path, dpi=100)


def machine(threads, has_torch):
    """What it was measured on."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((li.split(":")[1].strip() for li in lines if li.startswith("model name")), name)
    packages = ["numpy", *(["torch"] if has_torch else [])]
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)
    return f"{name}, {threads} threads, Python {platform.python_version()}, {versions}, float32"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--threads", type=int, default=cores, help="of each contestant (all)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant (7)")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the results")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure (all)"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    has_torch = importlib.util.find_spec("torch") is not None
    names = ["fcn_numpy", *(["PyTorch"] if has_torch else []), "plain", "product"]
    bench = Benchmark(names, options.threads, options.rounds)
    parts = [machine(options.threads, has_torch) + f", {options.rounds} rounds.\n"]
    if not has_torch:
        parts.append("PyTorch is not installed.\n")
    for part, measure in (("networks", networks), ("memory", memory)):
        if part in options.only:
            parts.append(measure(bench))
    if "layers" in options.only:
        text, forward = layers(bench)
        plot(forward, options.out / "layers.png")
        sums = "; ".join(f"{n} {seconds(value)}" for n, value in totals(forward).items())
        parts += [text, f"All convolutions of FCN-8s, forward: {sums}.\n"]
    for part, measure in (("growth", growth), ("dense", dense)):
        if part in options.only:
            parts.append(measure(bench))
    (options.out / "results.md").write_text("\n".join(parts))
    print("\n".join(parts))


if __name__ == "__main__":
    main()
