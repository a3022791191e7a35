"""dvc.yaml around evaluate, section and report: what runs after what has changed, with commands that cost nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

ROOT = Path(__file__).parents[2]
DATASETS = ("one", "two")


def _paths(items: list[Any]) -> list[str]:
    return [next(iter(item)) if isinstance(item, dict) else item for item in items]


def _quick(stage: dict[str, Any]) -> dict[str, Any]:
    """The stage with a command that writes what its dependencies hold to each of its outputs."""
    outs = [path for kind in ("outs", "metrics", "plots") for path in _paths(stage.get(kind, []))]
    read = [path for path in stage["deps"] if path.endswith((".json", ".parquet", "data/report"))]
    command = f"cat $(find {' '.join(read)} -type f | sort)"
    return {**stage, "cmd": [f"mkdir -p {Path(out).parent} && {command} > {out}" for out in outs]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with dvc.yaml's last three stages; what they depend on are small files."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    kept = {
        "evaluate": {"foreach": stages["evaluate"]["foreach"], "do": _quick(stages["evaluate"]["do"])},
        "section": {"foreach": stages["section"]["foreach"], "do": _quick(stages["section"]["do"])},
        "report": _quick(stages["report"]),
    }
    predict = {"model": "models/detector", "aggregation": "auto", "top_k": 5}
    params = {"run": {"datasets": list(DATASETS)}, "predict": predict, "evaluate": {"seed": 1}}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": kept}))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / ".gitignore").write_text("/data/\n")
    made = {Path(out) for stage in kept.values() for out in _outs(stage.get("do", stage))}
    for dep in {dep for stage in kept.values() for dep in stage.get("do", stage)["deps"]}:
        for name in DATASETS:
            path = tmp_path / dep.replace("${item}", name).replace("${predict.model}", "models/detector")
            if Path(dep) in made or dep in ("data/report", "metrics/${item}/details"):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if re.search(r"\.\w+$", path.name):
                path.write_text(f"{dep} of {name}\n")
            else:
                path.mkdir(exist_ok=True)
                (path / "part").write_text(f"{dep} of {name}\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    Repo.init(str(tmp_path)).close()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _outs(stage: dict[str, Any]) -> list[str]:
    return [path for kind in ("outs", "metrics", "plots") for path in _paths(stage.get(kind, []))]


def reproduce() -> list[str]:
    """What `dvc repro` runs, in its order."""
    with Repo() as repo:
        return [stage.addressing for stage in repo.reproduce()]


def test_the_page_follows_the_datasets_and_nothing_runs_twice(project: Path) -> None:
    first = reproduce()
    assert sorted(first[:-1]) == ["evaluate@one", "evaluate@two", "section@one", "section@two"]
    assert first[-1] == "report"
    assert reproduce() == []
    (project / "metrics/two/audit.json").write_text("another warning\n")
    assert reproduce() == ["section@two", "report"]
    assert "another warning" in (project / "metrics/report.html").read_text()
    (project / "data/one/predictions.parquet").write_text("other scores\n")
    assert sorted(reproduce()) == ["evaluate@one", "report", "section@one"]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_plots_are_in_the_cache_and_not_in_git() -> None:
    """A run on another processor so changes no tracked picture or curve; DVC caches only what git ignores."""
    outs = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["evaluate"]["do"]
    settings = [next(iter(item.values())) for item in outs["plots"] if isinstance(item, dict)]
    assert all(entry.get("cache", True) for entry in settings)
    assert all(next(iter(item.values()))["cache"] is False for item in outs["metrics"])
    plots, metrics = ([p.replace("${item}", "any") for p in _paths(outs[kind])] for kind in ("plots", "metrics"))
    command = ["git", "check-ignore", "--no-index", *plots, *metrics]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split() == plots
