"""Runs Lightning: fits a Training, or goes on where an interrupted one stopped."""

from __future__ import annotations

import logging
import warnings
from contextlib import nullcontext
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint, ProgressBar

from dfdetect.config.recipe import Recipe
from dfdetect.errors import UserError
from dfdetect.training.failures import explained
from dfdetect.training.module import Training
from dfdetect.training.progress import progress_bar
from dfdetect.training.resume import (
    AtomicCheckpointIO,
    Interrupted,
    LastCheckpoint,
    Signals,
    Workspace,
    read_checkpoint,
)
from dfdetect.training.setup import is_first_process, on_gpu

_PRECISION = {"32": "32-true", "16-mixed": "16-mixed", "bf16-mixed": "bf16-mixed"}
# Lightning's advice that does not apply: loaders are sized on purpose, and a resumed folder is never empty.
_NOISE = (
    ".*does not have many workers.*",
    ".*exists and is not empty.*",
    ".*litlogger.*",
    ".*smaller than the logging.*",
    ".*sync_dist=True.*",
    ".*TensorBoard.*",
    ".*your dataloader is not resumable.*",  # the sampler is: see Training.train_dataloader
    ".*LeafSpec.*is deprecated.*",  # Lightning's own use of torch
)


def fit(module: Training, workspace: Workspace, name: str) -> bool:
    """Train to the end, or from an interrupted training's last checkpoint to the end.

    Args:
        module: what to train; holds the history afterwards.
        workspace: where its checkpoints are.
        name: of the recipe, for messages.
    Returns:
        Whether this process is the one that writes the result.
    Raises:
        UserError: the loss is not finite, memory ran out, or the training was asked to stop.
    """
    if _already_finished(module, workspace):
        return is_first_process()
    recipe, signals = module.recipe, Signals()
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    trainer = make_trainer(recipe, workspace, callbacks(module, workspace, signals))
    start = str(workspace.last) if workspace.last.exists() else None
    # of several processes, each would have to stop after the same step: Lightning sees to that
    handled = signals.caught() if trainer.world_size == 1 else nullcontext()
    try:
        with explained(recipe, name), handled:
            trainer.fit(module, ckpt_path=start, weights_only=True)
    except (Interrupted, KeyboardInterrupt, SystemExit):  # Lightning makes SystemExit of a signal
        kept = f"its state is in {workspace.last}" if workspace.last.exists() else "nothing was saved yet"
        raise UserError(f"the training was interrupted; {kept}. Run the same command again to go on.") from None
    return bool(trainer.is_global_zero)


def _already_finished(module: Training, workspace: Workspace) -> bool:
    """An interruption between the last epoch and the result: take the history from the checkpoint, train no more."""
    if not workspace.last.exists():
        return False
    checkpoint = read_checkpoint(workspace.last)
    if not checkpoint["figures"]["finished"]:
        return False
    module.on_load_checkpoint(checkpoint)
    module.replay()
    return True


def callbacks(module: Training, workspace: Workspace, signals: Signals) -> list[Callback]:
    """Best and last checkpoint, early stopping, averaged weights, progress bar."""
    recipe = module.recipe
    made: list[Callback] = [
        ModelCheckpoint(
            dirpath=workspace.folder,
            filename=workspace.best.stem,
            monitor="val_select",
            mode="max",
            save_weights_only=recipe.ema_decay is None,  # averaged weights come with the full checkpoint alone
            enable_version_counter=False,
        ),
        module.lines,
        *progress_bar(),
    ]
    if recipe.early_stop is not None:
        stop = recipe.early_stop
        metric = stop.metric if stop.metric != "auto" else "val_log_prob" if module.anomaly else "val_auc"
        made.append(EarlyStopping(metric, mode=stop.mode, patience=stop.patience, min_delta=stop.min_delta))
    if recipe.ema_decay is not None:
        made.append(EMAWeightAveraging(decay=recipe.ema_decay))
    return [*made, LastCheckpoint(workspace.last, recipe.checkpoint_steps, signals)]


def make_trainer(recipe: Recipe, workspace: Workspace, made: list[Callback]) -> L.Trainer:
    """Lightning's Trainer for a recipe. It writes nothing outside the workspace."""
    options: dict[str, Any] = {}
    if recipe.deterministic:
        # On a GPU some operations have no deterministic version: they warn and run.
        options["deterministic"] = "warn" if on_gpu(recipe) else True
    return L.Trainer(
        accelerator="gpu" if on_gpu(recipe) else "cpu",
        devices=recipe.devices,
        num_nodes=recipe.num_nodes,
        strategy=recipe.strategy,
        sync_batchnorm=recipe.sync_batchnorm,
        precision=_PRECISION[recipe.precision],  # type: ignore[arg-type]
        max_epochs=recipe.epochs,
        accumulate_grad_batches=recipe.accumulate_grad_batches,
        benchmark=recipe.cudnn_benchmark,
        use_distributed_sampler=False,  # the samplers know the processes
        num_sanity_val_steps=0,
        logger=False,
        enable_model_summary=False,
        callbacks=made,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in made),
        plugins=[AtomicCheckpointIO()],
        default_root_dir=workspace.folder,
        **options,
    )
