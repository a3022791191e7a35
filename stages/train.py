"""python -m stages.train: train the detector that params.yaml names."""

from __future__ import annotations

from dfdetect.arguments import parser
from dfdetect.errors import run_cli
from dfdetect.runtime.threads import tune_allocator


def main() -> None:
    """Read params.yaml, train, say where the result is."""
    parser("stages.train", __doc__).parse_args()
    tune_allocator()
    from dfdetect.config import params
    from dfdetect.training.run import train

    metrics = train(params.load())
    if metrics is not None:
        best = metrics["best"]
        shown = [name for name in ("val_auc", "val_frame_auc", "val_acc", "val_log_prob") if name in best]
        figures = ", ".join(f"{name} {best[name]:.4f}" for name in shown)
        print(f"{metrics['detector']}: best epoch {best['epoch']} of {metrics['epochs']}, {figures} -> models/detector")


if __name__ == "__main__":
    run_cli(main)
