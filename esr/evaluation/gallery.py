"""Pictures beside a record, kept while the quality pass goes from image to image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from esr.data.datasets import ImagePair
from esr.images import pictures
from esr.images import pixels as images
from esr.images.pixels import ImageArray

COMPARISON = "comparison.png"
"""LR, bicubic, both networks and HR side by side, on the part of the set that tells most."""


class Gallery:
    """Writes what `quality.save` asks for, and one comparison of the whole set."""

    def __init__(self, folder: Path | None, mode: str) -> None:
        self._folder = folder if mode != "none" else None
        self._mode = mode
        self._telling = -1.0
        self.pictures: list[dict[str, Any]] = []
        """One entry per image, as `pictures.save` returns it."""
        self.comparison: str | None = None
        """File name of the comparison; none where nothing is saved."""

    def add(self, index: int, pair: ImagePair, outputs: Mapping[str, tuple[str, ImageArray]]) -> None:
        """Takes one image's SR: by role a network's name and its image, 4H×4W×3 uint8.

        Raises:
            DataError: A file cannot be written.
        """
        if self._folder is None or not outputs:
            return
        lr = pair.lr()
        hr = pair.hr() if pair.load_hr is not None else None
        bicubic = images.bicubic_upscale(lr)
        box = pictures.choose_box(hr, bicubic)
        by_role = {role: image for role, (_, image) in outputs.items()}
        self.pictures.append(
            pictures.save(self._folder, self._mode, pair.name, index, hr, lr, bicubic, by_role, box)
        )
        telling = _telling(box.of(bicubic), None if hr is None else box.of(hr))
        if telling > self._telling:
            self._telling = telling
            by_name = dict(outputs.values())
            picture = pictures.comparison(hr, lr, bicubic, by_name, box=box, title=pair.name)
            images.write_png(self._folder / COMPARISON, picture)
            self.comparison = COMPARISON


def _telling(bicubic: ImageArray, hr: ImageArray | None) -> float:
    """Bicubic's squared error, or where there is no HR its variance."""
    reference = bicubic.mean() if hr is None else hr.astype(float)
    return float(np.mean((bicubic.astype(float) - reference) ** 2))
