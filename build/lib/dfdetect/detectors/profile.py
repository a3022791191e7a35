"""How large a detector is: parameters and multiply-accumulates, counted without computing anything.

python -m dfdetect.detectors.profile          a Markdown table of all registered detectors at their default settings
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dfdetect.arguments import parser
from dfdetect.detectors import registry
from dfdetect.errors import run_cli

if TYPE_CHECKING:
    from dfdetect.detectors.base import Detector


class Profile(NamedTuple):
    """Size of a detector."""

    parameters: int  # all of them
    backbone_parameters: int  # of these, those of the backbone
    gmacs: float  # multiply-accumulates of one sample's score, in 10^9; matrix products and convolutions are counted
    inputs: dict[str, tuple[int, ...]]  # shape of one sample, without the batch axis


def profile(detector: Detector) -> Profile:
    """Count a detector's parameters and the multiply-accumulates of scoring one sample.

    FFTs, normalisation, activations and resizing are not counted.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    groups = detector.parameter_groups()
    batch = detector.example_batch(1)
    inputs = {key: tuple(value.shape[1:]) for key, value in batch.items() if key in detector.inputs}
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        fake = {key: mode.from_tensor(value) for key, value in batch.items() if key != "label"}
        training = detector.training
        with FlopCounterMode(display=False) as counter:
            detector.eval()(fake)
        detector.train(training)
    return Profile(
        parameters=sum(p.numel() for p in detector.parameters()),
        backbone_parameters=sum(p.numel() for p in groups["backbone"]),
        gmacs=counter.get_total_flops() / 2e9,
        inputs=inputs,
    )


def table(names: tuple[str, ...]) -> str:
    """A Markdown table: detector, input, parameters, GMACs."""
    lines = ["| detector | input | parameters (M) | of the backbone (M) | GMACs |", "|---|---|---|---|---|"]
    for name in names:
        size = profile(registry.build(name, {}))
        inputs = ", ".join(f"{key} {'x'.join(map(str, shape))}" for key, shape in size.inputs.items())
        millions = f"{size.parameters / 1e6:.1f} | {size.backbone_parameters / 1e6:.1f}"
        lines.append(f"| `{name}` | {inputs} | {millions} | {size.gmacs:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    arguments = parser("dfdetect.detectors.profile", __doc__)
    arguments.add_argument("names", nargs="*", help="detectors (default: all)")
    options = arguments.parse_args()
    print(table(tuple(options.names) or registry.names()))


if __name__ == "__main__":
    run_cli(main)
