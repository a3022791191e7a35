"""Kaggle's client is stood in for by a script: what we call it with, and what becomes of its answers."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from dfdetect.config.params import DatasetParams, KaggleSource, RuntimeParams
from dfdetect.datasets.sources import kaggle
from dfdetect.datasets.sources.sources import bring
from dfdetect.errors import UserError

ROOT = Path(__file__).parents[3]
REQUIREMENTS = ("requirements.txt", "requirements/kaggle.txt")
CLIENT = """#!{python}
import sys, zipfile
folder = sys.argv[sys.argv.index("-p") + 1]
if "forbidden" in sys.argv:
    print("403 - Forbidden")
    sys.exit(1)
with open(folder + "/../calls.txt", "a") as log:
    log.write(" ".join(word for word in sys.argv[1:] if word != folder) + "\\n")
if "-f" in sys.argv and sys.argv[-3].endswith(".mp4"):
    open(folder + "/" + sys.argv[-3].split("/")[-1], "w").close()
    sys.exit()
with zipfile.ZipFile(folder + "/" + sys.argv[4].replace("/", "-") + ".zip", "w") as archive:
    archive.writestr("train_sample_videos/metadata.json", "{{}}")
    archive.writestr("of_" + sys.argv[4].replace("/", "_") + ".mp4", "")
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without credentials, a PATH without the client, and an own working folder."""
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def install(home: Path) -> None:
    client = home / "bin" / "kaggle"
    client.parent.mkdir()
    client.write_text(CLIENT.format(python=sys.base_exec_prefix + "/bin/python3"))
    client.chmod(0o755)


def credentials(home: Path) -> None:
    (home / ".kaggle").mkdir()
    (home / ".kaggle" / "kaggle.json").write_text("{}")


def source(**settings: object) -> KaggleSource:
    return KaggleSource.model_validate({"kind": "kaggle", **settings})


def test_without_the_client_the_message_says_how_to_install_it(home: Path) -> None:
    with pytest.raises(UserError, match=r"client is not installed.*: make kaggle$"):
        kaggle.fetch(source(competition="c"), home / "k", "datasets.x.source")


def test_without_credentials_the_message_says_where_to_get_them(home: Path) -> None:
    install(home)
    with pytest.raises(
        UserError, match=r"https://www\.kaggle\.com/settings/api.*~/\.kaggle/access_token.*KAGGLE_API_TOKEN"
    ):
        kaggle.fetch(source(competition="c"), home / "k", "datasets.x.source")


@pytest.mark.parametrize("settings", [{}, {"competition": "c", "dataset": "o/d"}])
def test_one_of_competition_and_dataset_is_wanted(home: Path, settings: dict[str, str]) -> None:
    with pytest.raises(UserError, match="give either `competition` or `dataset`"):
        kaggle.fetch(source(**settings), home / "k", "datasets.x.source")


def test_a_refusal_names_the_rules(home: Path) -> None:
    install(home)
    credentials(home)
    with pytest.raises(UserError, match=r"403 - Forbidden.*rules are not accepted yet: \S+/c/forbidden/rules"):
        kaggle.fetch(source(competition="forbidden"), home / "k", "datasets.x.source")


@pytest.mark.parametrize(
    "environment",
    [{"KAGGLE_USERNAME": "u", "KAGGLE_KEY": "k"}, {"KAGGLE_API_TOKEN": "t"}, {"KAGGLE_CONFIG_DIR": "config"}],
)
def test_credentials_may_be_elsewhere(home: Path, environment: dict[str, str]) -> None:
    (home / "config").mkdir()
    (home / "config" / "kaggle.json").write_text("{}")
    assert not kaggle.has_credentials({"HOME": str(home)})
    assert kaggle.has_credentials({"HOME": str(home), **environment})


def test_credentials_of_an_oauth_login_count(home: Path) -> None:
    (home / ".kaggle").mkdir()
    (home / ".kaggle" / "credentials.json").write_text("{}")
    assert kaggle.has_credentials({"HOME": str(home)})


def test_the_extra_installs_nothing_beside_the_pinned_environment() -> None:
    """One version of a package serves both: the extra is compiled against requirements.txt."""
    pins = [dict(re.findall(r"(?m)^(\S+?)==(\S+)", (ROOT / name).read_text())) for name in REQUIREMENTS]
    shared = pins[0].keys() & pins[1].keys()
    assert "kaggle" in pins[1]
    assert {name: pins[0][name] for name in shared} == {name: pins[1][name] for name in shared}
    assert "://" not in (ROOT / REQUIREMENTS[1]).read_text()


def test_what_the_client_fetches_is_unpacked(home: Path) -> None:
    install(home)
    credentials(home)
    assert brought(competition="c") == {"of_c.mp4", "train_sample_videos/metadata.json"}
    assert (home / ".cache/download/x/kaggle/calls.txt").read_text() == "competitions download -c c -p\n"


def test_raw_holds_what_is_selected_now_and_nothing_of_earlier_selections(home: Path) -> None:
    install(home)
    credentials(home)
    assert brought(competition="c", files=["a/1.mp4", "b/1.mp4", "2.mp4"]) == {"a/1.mp4", "b/1.mp4", "2.mp4"}
    assert brought(competition="c", files=["b/1.mp4"]) == {"b/1.mp4"}
    assert brought(competition="d", files=["2.mp4"]) == {"2.mp4"}
    assert brought(competition="d") == {"of_d.mp4", "train_sample_videos/metadata.json"}
    assert brought(dataset="o/d") == {"of_o_d.mp4", "train_sample_videos/metadata.json"}
    cached = [path.name for path in (home / ".cache/download/x/kaggle").rglob("*.mp4")]
    assert sorted(cached) == ["1.mp4", "1.mp4", "2.mp4", "2.mp4"]  # kept, by competition and file
    calls = (home / ".cache/download/x/kaggle/calls.txt").read_text().splitlines()
    assert calls[0] == "competitions download -c c -f a/1.mp4 -p"


def test_a_file_name_that_leads_out_of_the_dataset_is_refused(home: Path) -> None:
    install(home)
    credentials(home)
    with pytest.raises(UserError, match=r"source\.files.*leads out of the folder"):
        kaggle.fetch(source(competition="c", files=["../../1.mp4"]), home / "k", "datasets.x.source")


def brought(**settings: object) -> set[str]:
    """The files in raw/ of a source with these settings."""
    entry = DatasetParams.model_validate({"layout": "dfdc", "source": {"kind": "kaggle", **settings}})
    root = bring("x", entry, Path("data/x/raw"), RuntimeParams(num_workers=1))
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
