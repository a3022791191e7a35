"""The train command with the test's detector registered: what the processes of test_ddp run.

With TERM_AFTER_SAVE set, the first process ends itself as a scheduler would, once a checkpoint is written.
"""

import os
import signal
from typing import Any

from dfdetect.errors import run_cli
from dfdetect.training.resume import AtomicCheckpointIO
from stages.train import main
from tests.training import tiny  # noqa: F401  # registers the detector


class Terminating(AtomicCheckpointIO):
    """Sends this process a SIGTERM after the first checkpoint that can be resumed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        super().save_checkpoint(checkpoint, path, storage_options)
        if str(path).endswith("last.ckpt"):
            os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    if "TERM_AFTER_SAVE" in os.environ:
        from dfdetect.training import fit

        fit.AtomicCheckpointIO = Terminating  # type: ignore[misc]
    run_cli(main)
