"""Train and evaluate every detector on the sample and write docs/results.md: `make results`.

Each detector is one experiment of its own name (`dvc exp run --temp -n NAME -S train.detector=NAME`), and one more is
`av_transformer` on the many real clips that it needs; those that exist for the present commit are not run again.
`--no-run` writes the page from what is there, and names what is of an earlier commit.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import peak_mb
from dfdetect.arguments import parser
from dfdetect.config.params import load
from dfdetect.detectors import registry
from dfdetect.errors import UserError, run_cli
from dfdetect.evaluation.caveats import reasons, too_few, with_interval
from dfdetect.runtime.threads import choose_device, cpu_count, tune_allocator

DOCUMENT = Path("docs/results.md")
DVC = str(Path(sys.executable).parent / "dvc")
REFERENCE = "xception"
ROUNDS, BATCH, MEMORY_BATCH = 3, 8, 12
# Experiment -> what it changes in params.yaml.
RUNS = {name: [f"train.detector={name}"] for name in registry.names()}
SPEECH, SPEECH_DATA = "speech", "sample_speech"
RUNS[SPEECH] = [
    "train.detector=av_transformer",
    "train.recipe=speech",
    f"train.dataset={SPEECH_DATA}",
    f"run.datasets=[{SPEECH_DATA}]",
]

INTRODUCTION = """# Results

Written by `make results`: every detector, trained on the synthetic sample as params.yaml says and evaluated on it and
on data with another look. They show that each detector learns and is evaluated correctly; how it performs on real
forgeries, only a real dataset tells."""
ACCURACY = """Video-level AUC on test videos, with 95 % bootstrap intervals over videos. `visual_label`: is the picture
manipulated; `label`: is anything, sound included."""
SPEECH_WORDS = """The sample has 15 real clips to train on, too few for a detector that learns from real clips alone.
With some hundreds, drawn as small as the recipe `speech` reads them, it learns which sound belongs to which lips."""
SIZE = """`av_transformer` is what source 002 lists, layer by layer: backbones of 4.0 and 2.2 M without their ImageNet
classifiers, two streams of 5.6 M, fusion 0.4 M, density 19.3 M. Of the 15 M that the source claims beyond this,
classifiers left on the backbones would explain 2.6 M and cross-attention in the density's layers, for which it names no
second sequence, 6.3 M. A Mamba layer of width C has about 6 C^2 parameters, a transformer layer 4 C^2 + 4096 C."""
SPEED = f"""Float32, batches of {BATCH} at each detector's own size. The ratio compares a step (forward and backward)
with {REFERENCE}'s of as many samples in the same process; absolute figures say little on another machine. Memory:
growth of the process by a step of {MEMORY_BATCH} samples. A sample of `av_transformer` is a clip."""
PACKAGES = ("torch", "timm", "lightning", "scikit-learn")

# What the sources say of size (millions of parameters), and why ours differs where it does by more than 15 %.
CLAIMS = {
    "av_transformer": (52, "see below"),
    "av_transformer, mamba": (45, "see below"),
    "multibranch": (19, ""),
}
SIZES = [(name, name, {}) for name in registry.names()]
SIZES.insert(
    [row[0] for row in SIZES].index("av_transformer") + 1,
    ("av_transformer, mamba", "av_transformer", {"temporal": "mamba"}),
)


def git(*words: str) -> str:
    """What git prints."""
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def experiments() -> dict[str, tuple[str, str]]:
    """Those of RUNS, each with its revision and its commit: the present one, else the latest before it."""
    history = git("rev-list", "--first-parent", "HEAD").split()
    found: dict[str, tuple[str, str]] = {}
    for line in git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines():
        reference, revision = line.split()
        parts = reference.split("/")  # refs/exps/ab/cdef.../name
        if len(parts) != 5 or parts[4] not in RUNS or (base := parts[2] + parts[3]) not in history:
            continue
        if parts[4] not in found or history.index(base) < history.index(found[parts[4]][1]):
            found[parts[4]] = (revision, base)
    return found


def is_present(experiment: tuple[str, str] | None) -> bool:
    """Whether it is there, and of the present commit."""
    return experiment is not None and experiment[1] == git("rev-parse", "HEAD").strip()


def run_missing() -> None:
    """All of RUNS, in temporary folders, so that the work tree stays as it is.

    Raises:
        UserError: there are changes that are not committed; an experiment would take them for the commit's.
    """
    if changed := git("status", "--porcelain", "--untracked-files=no").strip():
        raise UserError(f"commit or undo first, since the results stand for a commit:\n{changed}")
    for name, changes in RUNS.items():
        if not is_present(experiments().get(name)):
            print(f"training {name}", flush=True)
            settings = [word for change in changes for word in ("-S", change)]
            subprocess.run([DVC, "exp", "run", "--temp", "-n", name, *settings], check=True)


def figures(revision: str, dataset: str) -> dict[str, Any]:
    """An experiment's evaluate.json."""
    found: dict[str, Any] = json.loads(git("show", f"{revision}:metrics/{dataset}/evaluate.json"))
    return found


def accuracy_table(found: dict[str, str], datasets: list[str]) -> list[str]:
    """A row a detector, a column a dataset: video AUC with its interval."""
    lines = [
        "| detector | target | epochs | " + " | ".join(f"{name}: video AUC" for name in datasets) + " |",
        "|---|---|---|" + "---|" * len(datasets),
    ]
    for name, revision in found.items():
        cells = []
        target = ""
        for dataset in datasets:
            evaluated = figures(revision, dataset)
            target = evaluated["target"]
            few = too_few(evaluated["coverage"]["real"], evaluated["coverage"]["fake"])
            why = reasons(evaluated)
            value = with_interval(
                evaluated["video"]["auc"],
                evaluated["ci"]["video"]["auc"],
                why.get("video.auc") or why.get("ci.video.auc"),
            )
            cells.append(f"{value}; {few}" if few else value)
        epochs = json.loads(git("show", f"{revision}:metrics/train.json"))["epochs"]
        lines.append(f"| `{name}` | `{target}` | {epochs} | " + " | ".join(cells) + " |")
    return lines


def category_table(found: dict[str, str], dataset: str) -> list[str]:
    """Each fake category against the reals, of the detectors that evaluate sound and picture."""
    lines: list[str] = []
    for name, revision in found.items():
        evaluated = figures(revision, dataset)
        if evaluated["target"] != "label":
            continue
        for category, row in evaluated["by_category"].items():
            if row["fake"]:
                why = reasons(evaluated).get(f"by_category.{category}.ci.auc")
                value = with_interval(row["auc"], row["ci"]["auc"], why)
                lines.append(f"| `{name}` | {category} | {row['fake']} | {value} |")
    head = ["| detector | category | videos | video AUC |", "|---|---|---|---|"]
    return head + lines if lines else []


def speech(done: dict[str, str]) -> list[str]:
    """What av_transformer learns from as many real clips as it needs."""
    if SPEECH not in done:
        return []
    trained = json.loads(git("show", f"{done[SPEECH]}:metrics/details/train.json"))
    found = {"av_transformer": done[SPEECH]}
    return [
        f"## `av_transformer` on `{SPEECH_DATA}`, recipe `{SPEECH}`",
        SPEECH_WORDS,
        "\n".join(accuracy_table(found, [SPEECH_DATA])),
        "\n".join(category_table(found, SPEECH_DATA)),
        f"Held-out people's own sound fits best in {100 * trained['best']['val_sync_accuracy']:.0f} % of clips.",
    ]


def size_table() -> list[str]:
    """Parameters beside the sources' claims, and multiply-accumulates."""
    from dfdetect.detectors.profile import profile

    lines = ["| detector | input | parameters (M) | source's claim (M) | GMACs |", "|---|---|---|---|---|"]
    for label, name, settings in SIZES:
        size = profile(registry.build(name, settings))
        inputs = ", ".join(f"{key} {'x'.join(map(str, shape))}" for key, shape in size.inputs.items())
        claim, remark = CLAIMS.get(label, ("", ""))
        said = f"about {claim}" + (f" ({remark})" if remark else "") if claim else ""
        lines.append(f"| `{label}` | {inputs} | {size.parameters / 1e6:.1f} | {said} | {size.gmacs:.2f} |")
    return lines


def measure(name: str) -> dict[str, Any]:
    """One detector's speed beside the reference's, in turn in one process, and its memory: run in a process of its own.

    Returns:
        Samples a second of scoring and of a training step, the ratio of a step to the reference's of as many samples,
        and the growth of the process by one training step of MEMORY_BATCH samples (MB).
    """
    import torch

    tune_allocator()
    device = choose_device("auto")
    ours = registry.build(name, {}).to(device)

    def step(detector: Any, size: int, *, train: bool) -> float:
        batch = {key: value.to(device) for key, value in detector.example_batch(size).items()}
        detector.train(train)
        start = time.perf_counter()
        if train:
            detector.loss(detector(batch), batch)["loss"].backward()
            detector.zero_grad(set_to_none=True)
        else:
            with torch.inference_mode():
                detector(batch)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    step(ours, 1, train=True)  # what libraries load on first use is not the step's
    before = peak_mb()
    held = 0
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
    step(ours, MEMORY_BATCH, train=True)
    memory = peak_mb() - before
    if device == "cuda":
        memory = (torch.cuda.max_memory_allocated() - held) / 2**20
    reference = registry.build(REFERENCE, {}).to(device)
    step(reference, BATCH, train=True)
    times = [(step(ours, BATCH, train=True), step(reference, BATCH, train=True)) for _ in range(ROUNDS)]
    step(ours, BATCH, train=False)
    scoring = [step(ours, BATCH, train=False) for _ in range(ROUNDS)]
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "train": BATCH / statistics.median(own for own, _ in times),
        "ratio": statistics.median(own / other for own, other in times),
        "score": BATCH / statistics.median(scoring),
        "memory_mb": memory,
    }


def speed_table() -> tuple[str, list[str]]:
    """The device, and a row a detector."""
    lines = [
        f"| detector | scoring (samples/s) | training (samples/s) | step / {REFERENCE}'s | memory (MB) |",
        "|---|---|---|---|---|",
    ]
    device = ""
    for name in registry.names():
        command = [sys.executable, "-m", "benchmarks.results", "--measure", name]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        device = found["device"]
        cells = f"{found['score']:.1f} | {found['train']:.1f} | {found['ratio']:.2f} | {found['memory_mb']:.0f}"
        lines.append(f"| `{name}` | {cells} |")
    return device, lines


def document() -> str:
    """The page."""
    all_done = experiments()
    done = {name: revision for name, (revision, _) in all_done.items()}
    found = {name: done[name] for name in registry.names() if name in done}
    missing = [name for name in RUNS if name not in done]
    older = [f"`{n}` (of {base[:7]})" for n, (_, base) in all_done.items() if not is_present(all_done[n])]
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    own, datasets = params["train"]["dataset"], load().run.datasets
    device, speeds = speed_table()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    blocks = [
        INTRODUCTION,
        f"## Accuracy: trained on `{own}`, recipe `{params['train']['recipe']}`\n\n{ACCURACY}",
        "\n".join(accuracy_table(found, datasets)),
        f"Not trained: {', '.join(missing)}." if missing else "",
        f"Trained at an earlier commit: {', '.join(older)}." if older else "",
        "\n".join(category_table(found, own)),
        *speech(done),
        "## Size",
        "\n".join(size_table()),
        SIZE,
        "## Speed",
        f"{device}, {cpu_count()} processors ({platform.machine()}), Python {platform.python_version()}, {versions}.",
        SPEED,
        "\n".join(speeds),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def main() -> None:
    """Run what is missing, measure, write."""
    arguments = parser("benchmarks.results", __doc__)
    arguments.add_argument("--no-run", action="store_true", help="train nothing; write what is there")
    arguments.add_argument("--measure", choices=registry.names(), help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    if not options.no_run:
        run_missing()
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(DOCUMENT)


if __name__ == "__main__":
    run_cli(main)
