"""dvc.yaml as a whole: what git and DVC keep of each stage, and what a mistake in params.yaml costs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.exceptions import ReproductionError
from dvc.repo import Repo

from stages.check import OUTPUT

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES: dict[str, dict[str, Any]] = {name: stage.get("do", stage) for name, stage in DOCUMENT["stages"].items()}


# Dependencies that are code.
CODE = ("stages/", "dfdetect", "synthetic")
# What other stages read of a saved model.
MODEL = ("detector.json", "model.safetensors", "validation.parquet")


def outputs(kind: str) -> Iterator[tuple[str, bool]]:
    """Path and whether DVC caches it, of all stages' entries under `outs` or `metrics`."""
    for stage in STAGES.values():
        for entry in stage.get(kind, []):
            path, flags = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
            yield path.replace("${item}", "sample"), flags.get("cache", True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with the project's rules of what git ignores."""
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    for name in (".gitignore", "models/.gitignore"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes((ROOT / name).read_bytes())
    return root


def ignored(path: str, repository: Path) -> bool:
    return subprocess.run(["git", "check-ignore", "-q", path], cwd=repository, check=False).returncode == 0


def test_dvc_keeps_outputs_and_git_keeps_metrics(repository: Path) -> None:
    """An output that DVC does not cache also keeps its stage out of the run cache, and git changes with every run."""
    assert dict(outputs("outs"))
    for path, cached in outputs("outs"):
        assert cached, path
        assert ignored(path, repository), path
    for path, cached in outputs("metrics"):
        assert not cached, path
        assert not ignored(path, repository), path


@pytest.mark.parametrize("path", ["dvc_plots/index.html", "dvclive/metrics.json"])
def test_what_tools_leave_is_ignored(repository: Path, path: str) -> None:
    assert ignored(path, repository)


def test_every_other_stage_waits_for_the_check() -> None:
    assert [name for name, stage in STAGES.items() if str(OUTPUT) not in stage["deps"]] == ["check"]


def paths(stage: dict[str, Any]) -> list[str]:
    """A stage's outputs."""
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def cheap(name: str, stage: dict[str, Any]) -> dict[str, Any]:
    """The stage with a command that notes that it ran, and writes the params and its dependencies into each output."""
    read = " ".join(dep for dep in stage["deps"] if not dep.startswith(CODE))
    files = [
        file for out in paths(stage) for file in ([f"{out}/{name}" for name in MODEL] if "models/" in out else [out])
    ]
    write = [
        f"mkdir -p {Path(file).parent} && cat params.yaml $(find {read} -type f | sort) > {file}" for file in files
    ]
    return {**stage, "cmd": [f"echo {name} >> ../ran", *write]}


class Project:
    """A repository with the project's dvc.yaml and params.yaml, for one dataset; only `check` is the real command."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.params, self.notes = folder, folder / "params.yaml", folder.parent / "ran"

    def create(self) -> None:
        """Write its files."""
        folder = self.folder
        text = (ROOT / "params.yaml").read_text(encoding="utf-8")
        self.params.write_text(text.replace("[sample, sample_shift]", "[sample]"))
        document = dict(DOCUMENT["stages"])
        for name, stage in document.items():
            if name != "check":
                one = cheap(name, STAGES[name])
                document[name] = {"foreach": stage["foreach"], "do": one} if "foreach" in stage else one
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": document}))
        (folder / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
        for dep in {dep for stage in STAGES.values() for dep in stage["deps"] if dep.startswith(CODE)}:
            path = folder / dep.replace("${train.detector}", "attention_network")
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch() if path.suffix else path.mkdir()
        for name in ("xception", "attention_network"):
            (folder / "dfdetect/detectors").mkdir(parents=True, exist_ok=True)
            (folder / f"dfdetect/detectors/{name}.py").write_text(name)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        Repo.init(str(folder)).close()

    def repro(self) -> list[str]:
        """What `dvc repro` runs; what it takes from its cache is not among them."""
        self.notes.write_text("")
        with Repo(str(self.folder)) as repo:
            repo.reproduce()
        return self.notes.read_text().split()

    def change(self, old: str, new: str) -> None:
        """Edit params.yaml."""
        text = self.params.read_text(encoding="utf-8")
        assert text.count(old) == 1
        self.params.write_text(text.replace(old, new), encoding="utf-8")

    def trained(self) -> dict[str, bytes]:
        """What `train` has left."""
        places = [self.folder / path for path in paths(STAGES["train"])]
        files = [file for place in places for file in (sorted(place.rglob("*")) if place.is_dir() else [place])]
        return {str(file): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project that has run once."""
    folder = tmp_path_factory.mktemp("ready") / "project"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        command_line(patch)
        patch.chdir(folder)
        made = Project(folder)
        made.create()
        assert set(made.repro()) == set(STAGES) - {"check"}
    return folder


def command_line(patch: pytest.MonkeyPatch) -> None:
    """Let `python -m stages.check` be this project's, by this Python."""
    patch.setenv("PYTHONPATH", str(ROOT))
    patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def project(ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it."""
    folder = shutil.copytree(ready, tmp_path / "project")
    command_line(monkeypatch)
    monkeypatch.chdir(folder)
    return Project(folder)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("detector: attention_network", "detector: atention_network", "Did you mean `attention_network`?"),
        ("recipe: smoke", "recipe: smok", "Did you mean `smoke`?"),
        ("  dataset: sample", "  dataset: sampel", "Did you mean `sample`"),
        ("  model: models/detector", "  model: models/detctor", "models/detctor/detector.json does not exist"),
        ("datasets: [sample]", "datasets: [sampel]", "Did you mean `sample`"),
        ("  seed: 42\n  fakes", "  sed: 42\n  fakes", "did you mean seed?"),
    ],
)
def test_a_mistake_stops_the_run_before_anything_is_removed(
    project: Project, capfd: pytest.CaptureFixture[str], right: str, wrong: str, said: str
) -> None:
    before = project.trained()
    project.change(right, wrong)
    with pytest.raises(ReproductionError):
        project.repro()
    assert said in capfd.readouterr().err
    assert project.notes.read_text() == ""
    assert project.trained() == before
    project.change(wrong, right)
    assert project.repro() == []
    assert project.trained() == before


def test_a_valid_change_is_checked_and_reruns_only_what_reads_it(project: Project) -> None:
    project.change("n_mels: 80\n  fmin_hz: 0", "n_mels: 80\n  fmin_hz: 20")
    assert {"mels", "inputs", "train"} <= set(project.repro())
    project.change("timeout_s: 300", "timeout_s: 301")
    assert project.repro() == []


def test_going_back_takes_what_was_trained_from_the_cache(project: Project) -> None:
    first = project.trained()
    project.change("detector: attention_network", "detector: xception")
    assert {"train", "predict", "robustness", "evaluate", "section", "report"} <= set(project.repro())
    assert project.trained() != first
    project.change("detector: xception", "detector: attention_network")
    assert project.repro() == []
    assert project.trained() == first
