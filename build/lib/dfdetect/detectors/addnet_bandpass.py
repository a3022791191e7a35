"""ADDNet behind a learned bandpass filter."""

from __future__ import annotations

from torch import Tensor

from dfdetect.detectors.base import Batch
from dfdetect.detectors.layers.bandpass import BandpassLayer
from dfdetect.detectors.layers.masked_xception import MaskedXception
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import ADDNetBandpassSettings


@register("addnet_bandpass", ADDNetBandpassSettings)
class ADDNetBandpass(MaskedXception):
    """A learned difference of Gaussians, then ADDNet.

    Input, output and parameters: those of ADDNet, and two widths. The widths are reported each epoch.

    Source: ADDNet2D_Xception_Bandpass of the repository tasso-canellas/addnet. Its training starts from cut-offs of 60
    and 10 cycles per image, sigma = 299 / (2 pi cut-off): 0.793 px and 0.793 + 3.966 = 4.759 px at 299.
    """

    def __init__(self, settings: ADDNetBandpassSettings) -> None:
        super().__init__(settings)
        self.bandpass = BandpassLayer(settings.kernel_size, settings.sigma_low, settings.delta)

    def preprocess(self, image: Tensor) -> Tensor:
        """The band of the image: (B, 3, H, W) -> (B, 3, H, W)."""
        return self.bandpass(image)

    def epoch_report(self) -> dict[str, float]:
        """The learned widths (px)."""
        layer = self.bandpass
        widths = {"sigma_low": layer.sigma_low, "delta": layer.delta, "sigma_high": layer.sigma_high}
        return {name: width.item() for name, width in widths.items()}

    def pictures(self, batch: Batch, output: dict[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG002
        """The input and its band: 0 is mid-grey, the strongest response of each image black or white."""
        image = batch["image"].float()
        band = self.bandpass(image)
        reach = band.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
        return {"input": self.unnormalise(image), "band": 0.5 + 0.5 * band / reach}
