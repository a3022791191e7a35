"""Gradient checkpointing that leaves batch norm's running statistics as they would be without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def _running_statistics_kept(modules: Sequence[nn.Module]) -> Iterator[None]:
    # The backward pass runs the forward again; without this, running statistics would be updated twice a step. They
    # must stay inputs of the operation, which saves them for its own backward pass, so the update gets the weight 0.
    norms = [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked


def run_modules(modules: Sequence[nn.Module], x: Tensor, *, checkpointed: bool) -> Tensor:
    """Apply modules one after the other.

    Args:
        modules: applied in order.
        x: the first one's input.
        checkpointed: keep only x and recompute the rest in the backward pass (in training mode; dropout repeats).
    """

    def forward(y: Tensor) -> Tensor:
        for module in modules:
            y = module(y)
        return y

    if not checkpointed or not modules[0].training:
        return forward(x)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _running_statistics_kept(modules)

    return checkpoint(forward, x, use_reentrant=False, context_fn=contexts)
