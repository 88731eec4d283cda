"""Folders of images in the layouts that people have."""

from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from esr.config.schema import DataConf
from esr.data.datasets import Dataset
from esr.images.bicubic import bicubic_downscale
from esr.images.files import write_png
from esr.images.pixels import ImageArray

CONF = Path(__file__).resolve().parents[2] / "conf" / "data"
RNG = np.random.default_rng(0)


def photograph(height: int = 24, width: int = 32) -> ImageArray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, image: ImageArray | None = None) -> ImageArray:
    """Writes an image, PNG inside whatever its suffix says, and returns it."""
    image = photograph() if image is None else image
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, image)
    return image


def save_pair(hr: Path, lr: Path) -> None:
    save(lr, bicubic_downscale(save(hr)))


def folder(root: Path | str | None = None, name: str = "mine", **more: object) -> DataConf:
    return DataConf(name=name, root=None if root is None else str(root), **more)  # type: ignore[arg-type]


def names(dataset: Dataset) -> list[str]:
    return [pair.name for pair in dataset.pairs]


def shipped(name: str, **overrides: object) -> DataConf:
    """`conf/data/NAME.yaml` under the schema, as Hydra composes it."""
    merged = OmegaConf.merge(OmegaConf.structured(DataConf), OmegaConf.load(CONF / f"{name}.yaml"), overrides)
    conf = OmegaConf.to_object(merged)
    assert isinstance(conf, DataConf)
    return conf
