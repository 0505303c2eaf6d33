"""Measure fcn_numpy beside PyTorch, ONNX Runtime, OpenVINO and a plain im2col.

``python benchmarks/run.py`` in an environment with fcn_numpy, and with those of the others that are
to be compared. Each contestant is a process of its own. They take turns on every row, and rest
between turns, so that no one's threads are in another's way. Tables show medians of the times, and
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
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
REST = 0.1  # seconds between turns; OpenBLAS's threads wait that long for more work

# Name, how many there are in FCN-8s, channels, filters, size of the map, kernel, padding:
# the convolutions of FCN-8s for an image of 224 x 224.
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
# Contestants, and the packages that they need beside this one.
PACKAGES = {
    "fcn_numpy": (), "PyTorch": ("torch",), "ONNX Runtime": ("onnxruntime", "onnx"),
    "OpenVINO": ("openvino", "onnx"), "plain im2col": (), "matrix product": (),
}
TRAINERS = ("fcn_numpy", "PyTorch", "plain im2col")
# From the textbook to the frozen network, each with what the one before it has.
LADDER = (
    "plain im2col", "columns in bands", "columns along a line", "Winograd's algorithm",
    "work shared between threads", "fcn_numpy",
)
PARTS = ("networks", "memory", "ladder", "layers", "growth", "dense", "tiny")
# What a processor can do with vectors and matrices, as far as these programs use it.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")


class Contestant:
    """A process that does tasks; it is started for the first one."""

    def __init__(self, name, threads, environment):
        self.command = [sys.executable, str(HERE / "contestant.py"), name, str(threads)]
        self.options = {"cwd": HERE, "env": environment, "text": True}
        self.process = None

    def seconds(self, task):
        """Do a task; return how long it took."""
        if self.process is None:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **self.options
            )
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.command[2]} failed at {task}")
        return float(answer)

    def once(self, task):
        """Do a task in a fresh process; return what it prints, its peak memory last."""
        command = [*self.command, json.dumps(task)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, **self.options)
        return done.stdout.split("\n")[:-1]


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

    def __init__(self, threads, rounds, folder):
        self.threads, self.rounds = threads, rounds
        self.corner = f"{processor()}, {threads} threads"
        environment = {**os.environ, "FCN_NUMPY_ONNX": str(folder / "fcn8s.onnx")}
        names = [n for n, needed in PACKAGES.items() if all(map(importlib.util.find_spec, needed))]
        self.contestants = {
            name: Contestant(name, threads, environment) for name in (*names, *LADDER[1:-1])
        }
        if self.present(("ONNX Runtime", "OpenVINO")):
            self.contestants["fcn_numpy"].once(("export", environment["FCN_NUMPY_ONNX"]))

    def present(self, names):
        """Return those of the names whose contestants can be measured."""
        return [name for name in names if name in self.contestants]

    def times(self, task, names, rounds=None):
        """Let contestants do a task by turns."""
        names = self.present(names)
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

    def table(self, names, rows):
        """A table of times or sizes, and of the ratios to those of the others."""
        names = self.present(names)
        return table([self.corner, *names, *(f"of {name}'s" for name in names[1:])], rows)

    def compared(self, label, task, names, rounds=None):
        """A row: the times of all, and the ratios to the others."""
        names = self.present(names)
        times = self.times(task, names, rounds)
        return self.row(
            label, [seconds(times.median(n)) for n in names], [times.ratio(n) for n in names[1:]]
        )

    @staticmethod
    def row(label, values, ratios):
        """A row of a table."""
        return [label, *values, *(f"{ratio:.2f}" for ratio in ratios)]


def seconds(value):
    """A time in words."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def table(head, rows):
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def networks(bench):
    """Whole networks: the real one, and a step of the tiny one."""
    everybody = [name for name in PACKAGES if name != "matrix product"]
    forward = [
        bench.compared(f"FCN-8s, forward, {h} x {w}", ("forward", 1, h, w), everybody)
        for h, w in ((224, 224), (375, 500))
    ]
    training = [
        bench.compared(
            "FCN-8s, forward and backward, 224 x 224", ("forward_backward", 1, 224, 224), TRAINERS
        ),
    ]
    tiny = [bench.compared("tiny FCN-8s, 10 training steps", ("tiny_steps", 10), TRAINERS[:2])]
    return "\n".join([
        bench.table(everybody, forward), bench.table(TRAINERS, training),
        bench.table(TRAINERS[:2], tiny),
    ])


def memory(bench):
    """Peak memory of whole networks."""
    tables = []
    everybody = [name for name in PACKAGES if name != "matrix product"]
    for label, task, names in (
        ("forward, 224 x 224", ("forward", 1, 224, 224), everybody),
        ("forward, 375 x 500", ("forward", 1, 375, 500), everybody),
        ("forward and backward, 224 x 224", ("forward_backward", 1, 224, 224), TRAINERS),
    ):
        names = bench.present(names)
        peak = [int(bench.contestants[name].once(task)[-1]) / 1e9 for name in names]
        row = bench.row(
            f"peak memory of FCN-8s, {label}", [f"{size:.2f} GB" for size in peak],
            [peak[0] / size for size in peak[1:]],
        )
        tables.append(bench.table(names, [row]))
    return "\n".join(tables)


def ladder(bench):
    """FCN-8s forward, from the textbook to the frozen network."""
    columns = [
        bench.times(("forward", 1, 224, 224), LADDER), bench.times(("tiny_part", 5), LADDER[:4])
    ]
    rows = []
    for before, name in zip((LADDER[0], *LADDER), LADDER):
        row = ["frozen: kernels kept, ReLU and pool at once" if name == "fcn_numpy" else name]
        for times in columns:
            gain = f"{1 / times.ratio(before, name):.2f}" if name in times else ""
            row += [seconds(times.median(name)) if name in times else "", gain]
        rows.append(row)
    head = ["FCN-8s, forward, 224 x 224", "times faster", "5 tiny steps of a worker, 1 thread"]
    return table([bench.corner, *head, "times faster"], rows)


def layers(bench):
    """Each convolution. Returns the table, and the forward times for the plot."""
    rows, forward = [], []
    for name, _, *shape in LAYERS:
        for function, label in FUNCTIONS.items():
            names = bench.present(TRAINERS)
            with_limit = [*names, "matrix product"] if function == "conv2d" else names
            times = bench.times((function, *shape), with_limit)
            if function == "conv2d":
                limit = times.median("matrix product")
                forward.append((name, {n: times.median(n) for n in with_limit}))
            row = bench.row(
                f"{name}, {label}", [seconds(times.median(n)) for n in names],
                [times.ratio(n) for n in names[1:]],
            )
            rows.append([*row, seconds(limit), f"{times.median('fcn_numpy') / limit:.2f}"])
    ratios = [f"of {name}'s" for name in names[1:]]
    return table([bench.corner, *names, *ratios, "matrix product", "of its time"], rows), forward


def totals(bench_layers):
    """Sum of all convolutions of a network, forward."""
    count = {name: number for name, number, *_ in LAYERS}
    return {
        n: sum(count[name] * times[n] for name, times in bench_layers)
        for n in bench_layers[0][1]
    }


def growth(bench):
    """FCN-8s forward against the image's size and against the batch's."""
    rows, names = [], bench.present(TRAINERS[:2])
    for batch, size in [(1, 64), (1, 128), (1, 256), (1, 512), (2, 128), (4, 128), (8, 128)]:
        times = bench.times(("forward", batch, size, size), names, max(3, bench.rounds // 2))
        # conv1_1 pads each image by 100, so its output is 198 wider and higher.
        cells = batch * (size + 198) ** 2 / 1e6
        row = bench.row(
            f"{batch} x {size} x {size}", [seconds(times.median(n)) for n in names],
            [times.ratio(n) for n in names[1:]],
        )
        rows.append([*row, f"{cells:.2f}", f"{times.median('fcn_numpy') / cells:.2f} s"])
    ratios = [f"of {name}'s" for name in names[1:]]
    cells = ["million cells of conv1_1", "time per million cells"]
    return table([bench.corner, *names, *ratios, *cells], rows)


def dense(bench):
    """A classifier as a map of 10 x 10 scores: at once, and window by window."""
    cells = 10
    at_once = bench.times(("dense_map", cells), ["fcn_numpy"])
    windows = bench.times(("window_by_window", cells), ["fcn_numpy"], 1)
    one, many = at_once.median("fcn_numpy"), windows.median("fcn_numpy")
    rows = [[f"VGG16's {cells} x {cells} scores", seconds(one), seconds(many), f"{many / one:.1f}"]]
    return table([bench.corner, "at once", "window by window", "times faster"], rows)


def tiny(bench):
    """What a training step of the tiny network is made of, in one of its two processes."""
    from fcn_numpy.training.workers import ENVIRONMENT

    worker = Contestant("fcn_numpy", 1, {**os.environ, **ENVIRONMENT})
    lines = worker.once(("tiny_profile", 30))
    kinds = json.loads(lines[0])
    whole = sum(kinds.values())
    rows = [
        [kind, seconds(value), f"{value / whole:.0%}"]
        for kind, value in sorted(kinds.items(), key=lambda item: -item[1])
    ]
    rows.append(["all, for four images", seconds(whole), ""])
    return table([f"{processor()}, 1 thread: a tiny step's work", "time", "share"], rows)


def plot(forward, path):
    """Draw each layer's time against that of its matrix product."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    names = [n for n in ("plain im2col", "PyTorch", "fcn_numpy") if n in forward[0][1]]
    # Okabe and Ito's colors.
    colors = {"plain im2col": "#E69F00", "PyTorch": "#56B4E9", "fcn_numpy": "#0072B2"}
    height = 0.8 / len(names)
    for k, name in enumerate(names):
        places = [i + (k - (len(names) - 1) / 2) * height for i in range(len(forward))]
        values = [1e3 * times[name] for _, times in forward]
        axes.barh(places, values, height, color=colors[name], label=name)
    for i, (_, times) in enumerate(forward):
        limit = 1e3 * times["matrix product"]
        label = "matrix product of im2col alone" if i == 0 else None
        axes.plot([limit, limit], [i - 0.45, i + 0.45], color="black", label=label)
    axes.set_yticks(range(len(forward)), [name for name, _ in forward])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds, forward")
    axes.legend()
    figure.savefig(path, dpi=100)


def processor():
    """The processor's name, and those of its instructions that matter here."""
    name, flags = platform.processor() or platform.machine(), set()
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "model name":
                name = value
            elif key in ("flags", "Features"):
                flags = set(value.split())
    found = [flag.upper().replace("_", "-") for flag in INSTRUCTIONS if flag in flags]
    return " ".join([name, *([f"({', '.join(found)})"] if found else [])])


def versions():
    """What was measured, and with what."""
    names = ["numpy", *(p for packages in PACKAGES.values() for p in packages)]
    found = [
        f"{name} {importlib.metadata.version(name)}"
        for name in dict.fromkeys(names) if importlib.util.find_spec(name)
    ]
    return f"Python {platform.python_version()}, {', '.join(found)}, float32"


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
    with tempfile.TemporaryDirectory() as folder:
        bench = Benchmark(options.threads, options.rounds, Path(folder))
        missing = [name for name in PACKAGES if name not in bench.contestants]
        parts = [f"{bench.corner}, {versions()}, {options.rounds} rounds.\n"]
        if missing:
            parts.append(f"Not installed: {', '.join(missing)}.\n")
        for part in options.only:
            if part == "layers":
                text, forward = layers(bench)
                plot(forward, options.out / "layers.png")
                sums = "; ".join(f"{n} {seconds(value)}" for n, value in totals(forward).items())
                parts += [text, f"All convolutions of FCN-8s, forward: {sums}.\n"]
            else:
                parts.append(globals()[part](bench))
    (options.out / "results.md").write_text("\n".join(parts))
    print("\n".join(parts))


if __name__ == "__main__":
    main()
