"""RFDN, winner of the AIM 2020 challenge and ancestor of most of the networks here.

New in it: distillation by 1×1 convolutions beside the refinement instead of by splitting channels, so that no
refinement is narrowed; shallow residual blocks, a 3×3 convolution with a skip connection and nothing else;
enhanced spatial attention at the end of each block.

Liu, Tang and Wu, "Residual Feature Distillation Network for Lightweight Image Super-Resolution",
ECCV workshops 2020, arXiv:2009.11551. A baseline of the published table, not ranked.

Five teams entered it with other weights or arguments; places in the main track and the two sub-tracks: v1
(TieGuoDun Team) 14th, 27th and 21st; rfdn_dilated (whu_sigma) 21st, 32nd and 30th; rep_rfdn (Bilibili AI) 8th,
7th and 4th; rfdn_pruned (MegSR) 5th, 9th and 5th; sfdn (NTU607QCO-ESR) not ranked, its PSNR is not on par.
"""

from collections.abc import Sequence

from torch import nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.trunk import RFDNTrunk


class RFDB(FeatureDistillation):
    """A residual feature distillation block: steps, a fusion, attention.

    Args:
        channels: of input and output.
        distilled: channels that each step, and the last convolution, gives to the fusion.
        attention: rescales the fused features.
        dilations: of the refinement in each step; there are as many steps.
        residual: whether a step's input is added to its refinement.
        activation: of the whole block; by default a leaky ReLU.
    """

    def __init__(
        self,
        channels: int,
        distilled: int,
        attention: nn.Module,
        *,
        dilations: Sequence[int] = (1, 1, 1),
        residual: bool = True,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__(
            distill=[conv(channels, distilled, 1) for _ in dilations],
            refine=[conv(channels, channels, dilation=dilation) for dilation in dilations],
            last=conv(channels, distilled),
            fuse=conv((len(dilations) + 1) * distilled, channels, 1),
            attention=attention,
            activation=activation if activation is not None else nn.LeakyReLU(0.05, inplace=True),
            residual=residual,
        )


class RFDN(RFDNTrunk):
    """The challenge's RFDN, and those of its descendants that differ by weights and these arguments alone.

    Those are v1, sfdn, rfdn_dilated, rep_rfdn and rfdn_pruned. RFDN's own images are in the range 0 to 255.

    Args:
        channels: of the features between the blocks.
        distilled: channels that each step of a block distils.
        attention: channels within the spatial attention.
        blocks: how many.
        dilations: of the refinement in each step of a block; there are as many steps.
        residual: whether a step's input is added to its refinement.
        project_skip: whether the spatial attention has a 1×1 convolution on its own skip connection.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 50,
        distilled: int = 25,
        attention: int = 12,
        blocks: int = 4,
        dilations: Sequence[int] = (1, 1, 1),
        residual: bool = True,
        project_skip: bool = True,
        scale: int = 4,
    ) -> None:
        attentions = [ESA(channels, attention, project_skip=project_skip) for _ in range(blocks)]
        super().__init__(
            [RFDB(channels, distilled, esa, dilations=dilations, residual=residual) for esa in attentions],
            channels=channels,
            scale=scale,
        )
