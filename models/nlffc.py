"""NL-FFC by team Virtual_Reality Team: Fourier convolutions on an image that is already upscaled.

New: half of the features stay in the pixel domain; the other half is transformed along the columns, convolved by
frequency and transformed back. Attention spans all pixels of the image. All work is at output resolution, which is why
the challenge ran the network in tiles of 256×256 pixels.

Sinha, Moorthi and Dhar, "NL-FFC: Non-Local Fast Fourier Convolution for Image Super Resolution", CVPR
workshops 2022. Not ranked: its PSNR is not on par with the baseline's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.branches import Residual
from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add, rescale
from esr.models.blocks.trunk import parts_of
from esr.models.blocks.upsampling import bicubic

HALVES = 2


def _activation() -> nn.Module:
    return nn.LeakyReLU(0.2, inplace=True)


def over_pixels(x: Tensor) -> Tensor:
    """Softmax over all pixels of each channel; N×C×H×W."""
    return x.flatten(2).softmax(dim=2).view_as(x)


class GlobalContext(nn.Module):
    """Weights the pixels twice: by one map for all channels, then by a map per channel from the first result."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = conv(channels, 1, 1)
        self.mix = conv(channels, channels, 1)
        self.refine = conv(channels, channels)
        self.map = conv(channels, channels)
        self.activation = _activation()

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        features = self.activation(self.mix(x * over_pixels(F.relu(self.score(x), inplace=True))))
        features = self.activation(self.refine(features))
        features = self.map(features)
        return rescale(over_pixels(features), x)


class SpectralTransform(nn.Module):
    """A 1×1 convolution over the real and imaginary parts of the columns' spectra (Chi et al., NeurIPS 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = conv(2 * channels, 2 * channels, 1)
        self.activation = _activation()

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        spectrum = torch.fft.rfft(x, dim=2, norm="ortho")
        parts = torch.view_as_real(spectrum).permute(0, 1, 4, 2, 3).flatten(1, 2)
        del spectrum
        parts = self.activation(self.mix(parts))
        spectrum = torch.complex(parts[:, 0::2], parts[:, 1::2])
        del parts
        columns: Tensor = torch.fft.irfft(spectrum, n=x.shape[2], dim=2, norm="ortho")
        return columns


class NonLocalFourierConv(nn.Module):
    """Two halves of the channels, each processed locally by a convolution and globally by context or frequency."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // HALVES
        self.conv1 = conv(half, half)
        self.conv2 = conv(half, half)
        self.activation = _activation()
        self.context = GlobalContext(half)
        self.project = conv(half, half, 1)
        self.spectral = SpectralTransform(half)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        first, second = x.chunk(HALVES, dim=1)
        whole = self.spectral(second)
        whole = add(self.project(self.context(first)), whole)
        near = self.activation(self.conv1(first))
        near = add(near, self.activation(self.conv2(second)))
        return torch.cat([near, whole], dim=1)


class NLFFC(nn.Module):
    """Images in the range 0 to 255; a final ReLU keeps the output non-negative.

    Args:
        channels: number of channels of the features, an even number.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 64, scale: int = 4) -> None:
        super().__init__()

        def stage(first: int, last: int) -> nn.Sequential:
            blocks = {
                str(number): named(block=NonLocalFourierConv(channels), merge=conv(channels, channels, 1))
                for number in range(first, last + 1)
            }
            return named(**blocks)

        self.scale = scale
        self.head = conv(3, channels, 1)
        self.body = nn.Sequential(stage(1, 2), Residual(stage(3, 4)), Residual(stage(5, 8)))
        self.tail = named(
            block=NonLocalFourierConv(channels), merge=conv(channels, 3, 1), activation=nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        features: Tensor = bicubic(x, self.scale)
        features = self.head(features)
        for stage in (*self.body, self.tail):
            for part in parts_of(stage):
                features = part(features)
        return features
