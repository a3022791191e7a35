"""The train stage from params to its outputs."""

from __future__ import annotations

from typing import Any

import lightning as L

from dfdetect.config.params import Params, dataset_folder
from dfdetect.data.av_augment import SequenceAugmentation
from dfdetect.data.device import DeviceAugmentation
from dfdetect.data.transforms import Augmentation
from dfdetect.runtime.cache import code_hash
from dfdetect.training import batch_size, resume
from dfdetect.training.data import artifacts, open_data
from dfdetect.training.fit import fit
from dfdetect.training.module import Training
from dfdetect.training.result import write_result
from dfdetect.training.setup import (
    artifact_files,
    augmentation,
    build_detector,
    check_early_stop,
    chosen_recipe,
    is_first_process,
    loader_settings,
    override_lines,
    packages,
    prepare_torch,
    weight_files,
)
from dfdetect.training.tracking import make_trackers


def train(params: Params) -> dict[str, Any] | None:
    """Train the detector that params.train names, or go on where an interrupted training of the same params stopped.

    Returns:
        What went to metrics/details/train.json; None in the other processes of a training on several devices.
    Raises:
        UserError: something the user can mend, before training where possible.
    """
    chosen = params.train
    params.dataset(chosen.dataset)
    recipe = chosen_recipe(params)
    prepare_torch(recipe)
    L.seed_everything(chosen.seed, verbose=False)
    detector = build_detector(params, recipe)
    augment = augmentation(params, recipe, detector)
    folder = dataset_folder(chosen.dataset)
    data = open_data(
        folder,
        detector,
        recipe,
        seed=chosen.seed,
        augment=augment.seeded if isinstance(augment, (Augmentation, SequenceAugmentation)) else None,
        fakes=chosen.fakes,
    )
    check_early_stop(recipe, detector, data.val.index.labels)
    read = artifact_files(folder, artifacts(detector.inputs, chosen.fakes))
    hashes = resume.hash_files([*read, *weight_files(params, detector)])
    inputs = {
        "train": chosen.model_dump(mode="json"),
        "recipe": recipe.fingerprint(),
        "detector": detector.settings.model_dump(mode="json"),
        "data": hashes,
        "packages": packages(),
        "code": code_hash(resume.code_of(detector.name)),
    }
    workspace = resume.Workspace(inputs)
    first = is_first_process()
    if first:
        opened = workspace.open()
        for line in [*override_lines(params, recipe), *([] if opened is None else [opened])]:
            print(line)
    size = batch_size.chosen(
        detector, recipe, samples=lambda: len(data.train_sampler(1).epoch_rows(0)), remembered=workspace.folder
    )
    module = Training(
        detector,
        data,
        recipe,
        batch_size=size,
        loader=loader_settings(recipe),
        seed=chosen.seed,
        on_device=augment if isinstance(augment, DeviceAugmentation) else None,
    )
    module.trackers = make_trackers(recipe, inputs) if first else []
    module.pictures = workspace.folder / "pictures" if module.trackers else None
    if not fit(module, workspace, chosen.recipe):
        return None
    for tracker in module.trackers:
        tracker.close(workspace.folder / "pictures")
    metrics = write_result(module, workspace, params, hashes)
    workspace.close()
    return metrics
