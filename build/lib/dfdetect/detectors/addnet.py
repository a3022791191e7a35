"""ADDNet: Xception whose maps are weighed by an attention mask of face and organs."""

from __future__ import annotations

from dfdetect.detectors.layers.masked_xception import MaskedXception
from dfdetect.detectors.registry import register
from dfdetect.detectors.settings import ADDNetSettings


@register("addnet", ADDNetSettings)
class ADDNet(MaskedXception):
    """ADDNet-2D on Xception.

        stem - block1 xA - block2 xA - block3 xA - blocks 4-11 xA - block12 xA - conv3, conv4 - pool - dropout - linear

    xA: times the attention mask (ADD block).

    Input: face crop (B, 3, 299, 299) and attention mask (B, 1, 299, 299) in [0, 1] (the masks stage: hull of the face
    plus hulls of the organs). Output: logits (B, 2). 20.8 M parameters: the ADD blocks have none.

    Source: Zi et al., WildDeepfake (arXiv 2101.01456); positions and dropout 0.5 of the repository
    tasso-canellas/addnet.
    """
