"""params.yaml against the detectors: what is set there builds, and values set twice agree."""

import pytest

from dfdetect.config.params import Params, load
from dfdetect.detectors import registry
from dfdetect.errors import UserError
from dfdetect.training.setup import build_detector, chosen_recipe


@pytest.fixture(scope="module")
def params(request) -> Params:
    return load(request.config.rootpath / "params.yaml")


def choose(params: Params, detector: str, recipe: str) -> Params:
    return params.model_copy(update={"train": params.train.model_copy(update={"detector": detector, "recipe": recipe})})


def test_every_detector_is_named(params):
    assert set(params.detectors) == set(registry.names())


@pytest.mark.parametrize("name", registry.names())
def test_every_detector_has_an_entry_that_is_valid_and_starts_from_imagenet_in_the_recipe_full(params, name):
    settings = registry.check_settings(name, params.detectors[name])
    assert settings.pretrained is False  # the sample needs no download
    recipe = chosen_recipe(choose(params, name, "full"))
    full = registry.check_settings(name, recipe.detector_settings(name, params.detectors[name]))
    assert full.pretrained is True


def test_recipe_full_has_the_values_of_the_sources(params):
    recipe = chosen_recipe(choose(params, "attention_network", "full"))
    fusion = recipe.detector_settings("attention_network", {})
    assert fusion["fusion_width"] == 728
    assert chosen_recipe(choose(params, "multibranch", "full")).precision == "16-mixed"
    for name in ("addnet", "addnet_bandpass"):
        recipe = chosen_recipe(choose(params, name, "full"))
        assert (recipe.early_stop, recipe.epochs) == (None, 100)


def test_n_mels_of_the_detector_and_of_the_mels_stage_must_agree(params):
    settings = {**registry.settings_class("av_transformer").small, "chunks": 4, "n_mels": 64}
    params = params.model_copy(update={"detectors": {"av_transformer": settings}})
    params = choose(params, "av_transformer", "smoke")
    plain = params.recipes["smoke"].model_copy(update={"settings": {}, "detector_overrides": {}})
    params = params.model_copy(update={"recipes": {"smoke": plain}})
    with pytest.raises(UserError, match=r"detectors\.av_transformer\.n_mels is 64 and mels\.n_mels.*is 80"):
        build_detector(params, chosen_recipe(params))
    params = params.model_copy(update={"mels": params.mels.model_copy(update={"n_mels": 64})})
    assert build_detector(params, chosen_recipe(params)).settings.n_mels == 64
