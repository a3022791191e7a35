"""Finding, checking and building detectors; weights from files."""

import subprocess
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from dfdetect.detectors import pretrained, registry
from dfdetect.detectors.pretrained import make_backbone
from dfdetect.detectors.settings import ImageSettings
from dfdetect.errors import UserError

SEVEN = {
    "addnet",
    "addnet_bandpass",
    "attention_network",
    "av_transformer",
    "efficientnet_b4",
    "multibranch",
    "xception",
}


def test_names_are_those_of_the_files_and_need_no_torch():
    code = (
        "import sys; from dfdetect.detectors import registry; print(*registry.names());"
        "assert 'torch' not in sys.modules and 'timm' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert set(run.stdout.split()) >= SEVEN
    assert tuple(run.stdout.split()) == registry.names()


@pytest.mark.parametrize("name", ["recce", "base", "", "registry"])
def test_unknown_name_lists_what_there_is(name):
    with pytest.raises(UserError, match=r"no detector `.*addnet, addnet_bandpass, attention_network"):
        registry.build(name, {})


def test_unknown_key_and_bad_value_are_named():
    with pytest.raises(UserError, match=r"detectors\.xception\.image_sise: unknown key.*keys are: .*image_size"):
        registry.build("xception", {"image_sise": 128})
    with pytest.raises(UserError, match=r"detectors\.xception\.num_classes.*3"):
        registry.build("xception", {"num_classes": 3})
    with pytest.raises(UserError, match=r"detectors\.addnet_bandpass\.kernel_size.*odd"):
        registry.build("addnet_bandpass", {"kernel_size": 30})
    with pytest.raises(UserError, match=r"detectors\.addnet\.add_positions"):
        registry.build("addnet", {"add_positions": ["block1", "block1"]})


def test_settings_are_frozen_and_may_be_given_ready_made():
    settings = ImageSettings(image_size=64)
    with pytest.raises(ValueError, match="frozen"):
        settings.image_size = 65
    assert registry.build("xception", settings).image_size == 64


def test_registered_under_another_name_than_its_file():
    with pytest.raises(ValueError, match="must be the module's own"):
        registry.register("resnet", ImageSettings)(type("Resnet", (), {"__module__": "dfdetect.detectors.vgg"}))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file(tmp_path, suffix):
    torch.manual_seed(0)
    model = timm.create_model("efficientnet_b0", num_classes=1000)  # with its classifier, as downloads come
    path = tmp_path / f"weights{suffix}"
    save_file(model.state_dict(), path) if suffix == ".safetensors" else torch.save(model.state_dict(), path)
    backbone = make_backbone("efficientnet_b0", str(path))
    assert torch.equal(backbone.state_dict()["conv_stem.weight"], model.state_dict()["conv_stem.weight"])
    assert not any(key.startswith("classifier") for key in backbone.state_dict())


def test_weights_of_both_streams_from_files(tmp_path):
    weights = timm.create_model("mobilenetv2_100").state_dict()
    torch.save(weights, tmp_path / "audio.pth")
    small = registry.settings_class("av_transformer").small
    detector = registry.build("av_transformer", {**small, "pretrained": {"audio": str(tmp_path / "audio.pth")}})
    assert torch.equal(detector.audio_backbone.state_dict()["conv_stem.weight"], weights["conv_stem.weight"])


def test_weights_that_do_not_fit(tmp_path):
    with pytest.raises(UserError, match=r"none\.pth .*is not there"):
        make_backbone("efficientnet_b0", str(tmp_path / "none.pth"))
    (tmp_path / "text.pth").write_text("<html>not found</html>")
    with pytest.raises(UserError, match=r"text\.pth cannot be read"):
        make_backbone("efficientnet_b0", str(tmp_path / "text.pth"))
    (tmp_path / "text.safetensors").write_text("<html>not found</html>")
    with pytest.raises(UserError, match=r"text\.safetensors cannot be read"):
        make_backbone("efficientnet_b0", str(tmp_path / "text.safetensors"))
    torch.save(timm.create_model("mobilenetv2_100").state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth holds no weights of timm's efficientnet_b0"):
        make_backbone("efficientnet_b0", str(tmp_path / "other.pth"))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"list\.pth holds no mapping"):
        make_backbone("efficientnet_b0", str(tmp_path / "list.pth"))


class _Malicious:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a weights file was run')",))


def test_code_in_a_weights_file_is_not_run(tmp_path):
    torch.save({"state_dict": _Malicious()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth cannot be read"):
        make_backbone("efficientnet_b0", str(tmp_path / "evil.pth"))


def test_no_hub_says_how_to_give_a_file(monkeypatch):
    def fail(*_args, **_keywords):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(pretrained.timm, "create_model", fail)
    with pytest.raises(UserError, match=r"cannot be downloaded \(Name or service.*pretrained to its path"):
        make_backbone("efficientnet_b0", True)
