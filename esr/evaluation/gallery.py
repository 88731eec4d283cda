"""Pictures beside a record, collected image by image during the quality pass."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from esr.data.datasets import ImagePair
from esr.images import pictures
from esr.images.files import write_png
from esr.images.pixels import ImageArray
from esr.records.document import Picture, Pictures

COMPARISON = "comparison.png"
"""The image on which bicubic errs most, and two parts of it by LR, bicubic, both networks and HR, side by side."""


class Gallery:
    """Writes the pictures that `quality.save` asks for, and one comparison for the whole data set."""

    def __init__(self, folder: Path | None, mode: str) -> None:
        self._folder = folder if mode != "none" else None
        self._mode = mode
        self._error = -1.0
        self._images: list[Picture] = []
        self._comparison: str | None = None

    @property
    def saves(self) -> bool:
        """True if pictures are written."""
        return self._folder is not None

    @property
    def pictures(self) -> Pictures:
        """The record's entry for the pictures written so far."""
        return Pictures(comparison=self._comparison, images=tuple(self._images))

    def add(
        self, index: int, pair: ImagePair, hr: ImageArray | None, outputs: Mapping[str, tuple[str, ImageArray]]
    ) -> None:
        """Adds one image with its HR: by role, a network's name and its SR, 4H×4W×3 uint8.

        Raises:
            DataError: A file cannot be written.
        """
        if self._folder is None or not outputs:
            return
        lr = pair.lr()
        by_role = {role: image for role, (_, image) in outputs.items()}
        views = pictures.Views(lr, hr, by_role)
        box = pictures.choose_box(views.hr, views.bicubic)
        saved = box if self._mode == "crops" else pictures.Box(0, 0, *views.bicubic.shape[:2])
        self._images.append(pictures.save(self._folder, pair.name, index, views, saved))
        error = _squared_error(box.of(views.bicubic), None if views.hr is None else box.of(views.hr))
        if error > self._error:
            self._error = error
            names = {role: name for role, (name, _) in outputs.items()}
            write_png(self._folder / COMPARISON, pictures.comparison(views, box, names, pair.name))
            self._comparison = COMPARISON


def _squared_error(bicubic: ImageArray, hr: ImageArray | None) -> float:
    """Mean squared error of bicubic, or its variance if there is no HR."""
    reference = bicubic.mean() if hr is None else hr.astype(float)
    return float(np.mean((bicubic.astype(float) - reference) ** 2))
