"""Small networks around a function, for tests of the counts."""

from collections.abc import Callable

from torch import Tensor, nn

SIZE = 16
"""Height and width of their image, in pixels."""
PIXELS = SIZE * SIZE


class Calling(nn.Module):
    """A network without modules that hands its image to a function."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor) -> object:
        return self.function(image)


class Convolving(nn.Module):
    """A convolution of 3 to 4 channels whose output a function takes further."""

    def __init__(self, function: Callable[[Tensor], object] = lambda features: features) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.function = function

    def forward(self, image: Tensor) -> object:
        return self.function(self.conv(image))


CONVOLVING_MACS = PIXELS * 4 * 3 * 9
