"""RFDN, winner of the AIM 2020 challenge and ancestor of most of the networks here.

New: distillation by 1×1 convolutions beside the refinement instead of by splitting channels, so that no refinement is
narrowed; shallow residual blocks, just a 3×3 convolution with a skip connection; enhanced spatial attention at the end
of each block.

Liu, Tang and Wu, "Residual Feature Distillation Network for Lightweight Image Super-Resolution",
ECCV workshops 2020, arXiv:2009.11551. A baseline of the published table, not ranked.

Five teams entered it with other weights or arguments: TieGuoDun Team (v1), whu_sigma (rfdn_dilated), Bilibili AI
(rep_rfdn), MegSR (rfdn_pruned) and NTU607QCO-ESR (sfdn, not ranked: its PSNR is not on par with the baseline's).
"""

from collections.abc import Sequence

from torch import nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.trunk import RFDNTrunk


class RFDB(FeatureDistillation):
    """Residual feature distillation block: steps, a fusion, attention.

    Args:
        channels: number of channels of input and output.
        distilled_channels: number of channels that each step, and the last convolution, passes to the fusion.
        attention: rescales the fused features.
        dilations: dilation of the refinement in each step; one step per entry.
        residual: True if a step's input is added to its refinement.
        activation: of the whole block; by default a leaky ReLU.
    """

    def __init__(
        self,
        channels: int,
        distilled_channels: int,
        attention: nn.Module,
        *,
        dilations: Sequence[int] = (1, 1, 1),
        residual: bool = True,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__(
            distill=[conv(channels, distilled_channels, 1) for _ in dilations],
            refine=[conv(channels, channels, dilation=dilation) for dilation in dilations],
            last=conv(channels, distilled_channels),
            fuse=conv((len(dilations) + 1) * distilled_channels, channels, 1),
            attention=attention,
            activation=activation if activation is not None else nn.LeakyReLU(0.05, inplace=True),
            residual=residual,
        )


class RFDN(RFDNTrunk):
    """The challenge's RFDN, and its descendants that differ only in weights and arguments.

    Images in the range 0 to 255 for RFDN itself; each descendant's YAML states its own.

    Args:
        channels: number of channels of the features between the blocks.
        distilled_channels: number of channels that each step of a block distils.
        attention_channels: number of channels within the spatial attention.
        num_blocks: number of blocks.
        dilations: dilation of the refinement in each step of a block; one step per entry.
        residual: True if a step's input is added to its refinement.
        project_skip: True if the spatial attention has a 1×1 convolution on its own skip connection.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 50,
        distilled_channels: int = 25,
        attention_channels: int = 12,
        num_blocks: int = 4,
        dilations: Sequence[int] = (1, 1, 1),
        residual: bool = True,
        project_skip: bool = True,
        scale: int = 4,
    ) -> None:
        attentions = [ESA(channels, attention_channels, project_skip=project_skip) for _ in range(num_blocks)]
        super().__init__(
            [RFDB(channels, distilled_channels, esa, dilations=dilations, residual=residual) for esa in attentions],
            channels=channels,
            scale=scale,
        )
