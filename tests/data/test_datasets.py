"""Data sets: what a folder may hold, how LR and HR find each other, and what ships."""

import hashlib
import pickle
import socket
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from helpers.image_folders import CONF, folder, names, photograph, save, save_pair, shipped
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from esr.data import datasets
from esr.data.datasets import load_dataset
from esr.errors import ConfigError, DataError
from esr.images.bicubic import bicubic_downscale
from esr.images.files import read_rgb
from esr.images.pixels import crop_to_multiple


@pytest.fixture(autouse=True)
def no_data_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps the developer's own data sets out of the tests."""
    home = tmp_path / "home of data"
    monkeypatch.setenv("ESR_DATA", str(home))
    return home


# The demo


def test_the_demo_needs_no_network_and_has_three_distinct_lr_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("the demo tried to reach the network")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    demo = load_dataset(shipped("demo"))
    assert names(demo) == ["astronaut", "chelsea", "coffee", "rocket"]
    assert len({pair.lr_shape for pair in demo.pairs}) >= 3
    assert demo.has_hr
    assert demo.lr_origin == "bundled"
    for pair in demo.pairs:
        np.testing.assert_array_equal(pair.lr(), bicubic_downscale(pair.hr()))


DEMO_REGIONS = {
    "astronaut.png": (96, 0, 256, 320),
    "chelsea.png": (52, 8, 384, 256),
    "coffee.png": (160, 16, 320, 320),
    "rocket.jpg": (168, 104, 320, 320),
}
"""Photograph in the scikit-image wheel -> left, top, width and height of its demo region, in pixels."""


def test_every_demo_image_is_a_region_of_its_photograph_and_is_worth_looking_at() -> None:
    pairs = load_dataset(shipped("demo")).pairs
    for pair, (file, (left, top, width, height)) in zip(pairs, DEMO_REGIONS.items(), strict=True):
        photograph = read_rgb(Path(str(files("skimage") / "data" / file)))
        np.testing.assert_array_equal(pair.hr(), photograph[top : top + height, left : left + width])
        assert pair.hr().shape == (height, width, 3)
        assert 256 <= min(height, width) <= max(height, width) <= 384
        assert pair.hr().std() > 20


def test_the_demo_is_small_and_its_licences_name_every_image() -> None:
    folder = Path(datasets.__file__).parent / "demo"
    licences = (folder / "LICENCES.md").read_text(encoding="utf-8")
    images = sorted(folder.glob("*.png"))
    assert [file.stem for file in images] == list(datasets.DEMO)
    assert all(file.name in licences for file in images)
    assert sum(file.stat().st_size for file in images) < 10**6


def test_an_installation_without_a_demo_image_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "DEMO", (*datasets.DEMO, "mona_lisa"))
    with pytest.raises(DataError, match=r"this installation lacks .*demo/mona_lisa\.png"):
        load_dataset(shipped("demo"))


def test_the_demo_takes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.root=.*the demo takes no folder; add data=folder"):
        load_dataset(shipped("demo", root=str(tmp_path)))


# What a folder may hold


def test_hr_alone_gets_its_lr_by_bicubic(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", photograph(27, 34))
    dataset = load_dataset(folder(tmp_path))
    (pair,) = dataset.pairs
    assert (pair.name, pair.lr_shape) == ("a", (6, 8))
    assert dataset.lr_origin == "bicubic"
    np.testing.assert_array_equal(pair.hr(), image[:24, :32])
    np.testing.assert_array_equal(pair.lr(), bicubic_downscale(image[:24, :32]))


def test_lr_alone_can_be_timed_but_has_no_quality(tmp_path: Path) -> None:
    image = save(tmp_path / "0901x4.png", photograph(5, 7))
    save(tmp_path / "0902x4.png", photograph(5, 7))
    for conf in (folder(tmp_path), folder(lr=str(tmp_path))):
        dataset = load_dataset(conf)
        assert names(dataset) == ["0901", "0902"]
        assert not dataset.has_hr
        assert dataset.lr_origin == "files"
        assert dataset.pairs[0].lr_shape == (5, 7)
        np.testing.assert_array_equal(dataset.pairs[0].lr(), image)
        with pytest.raises(DataError, match="0901 has no HR image"):
            dataset.pairs[0].hr()


def test_hr_larger_than_four_times_lr_is_cropped_to_it(tmp_path: Path) -> None:
    hr = save(tmp_path / "HR" / "a.png", photograph(27, 35))
    save(tmp_path / "LR" / "a.png", bicubic_downscale(crop_to_multiple(hr)))
    (pair,) = load_dataset(folder(tmp_path)).pairs
    np.testing.assert_array_equal(pair.hr(), hr[:24, :32])


def test_other_files_in_a_folder_are_ignored(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    for other in ("Thumbs.db", ".DS_Store", "._a.png", ".hidden.png", "README.txt", "a.mat"):
        (tmp_path / other).write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    assert names(load_dataset(folder(tmp_path))) == ["a"]


def test_pairs_come_in_natural_order_and_limit_takes_the_first(tmp_path: Path) -> None:
    for name in ("img10", "img2", "Img1", "b", "a"):
        save(tmp_path / f"{name}.png")
    assert names(load_dataset(folder(tmp_path))) == ["a", "b", "Img1", "img2", "img10"]
    assert names(load_dataset(folder(tmp_path, limit=3))) == ["a", "b", "Img1"]
    assert len(load_dataset(folder(tmp_path, limit=99)).pairs) == 5


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), unique=True, min_size=1))
def test_numbers_in_names_sort_by_value(numbers: list[int]) -> None:
    ordered = sorted((f"img{number}x4" for number in numbers), key=datasets._natural)
    assert ordered == [f"img{number}x4" for number in sorted(numbers)]


def test_the_digest_is_of_pixels_not_of_files(tmp_path: Path) -> None:
    image = photograph()
    save(tmp_path / "png" / "a.png", image)
    (tmp_path / "bmp").mkdir()
    Image.fromarray(image).save(tmp_path / "bmp" / "b.bmp")
    (from_png,) = load_dataset(folder(lr=str(tmp_path / "png"))).pairs
    (from_bmp,) = load_dataset(folder(lr=str(tmp_path / "bmp"))).pairs
    assert from_png.lr_sha256 == from_bmp.lr_sha256 == hashlib.sha256(image.tobytes()).hexdigest()


def test_pixels_are_decoded_when_they_are_asked_for_and_not_kept(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (pair,) = load_dataset(folder(tmp_path)).pairs
    changed = save(tmp_path / "a.png")
    np.testing.assert_array_equal(pair.hr(), changed)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"a\.png is not there"):
        pair.lr()


def test_a_data_set_can_be_sent_to_another_process(tmp_path: Path) -> None:
    save_pair(tmp_path / "HR" / "a.png", tmp_path / "LR" / "a.png")
    for conf in (folder(tmp_path), shipped("demo")):
        dataset = load_dataset(conf)
        copy = pickle.loads(pickle.dumps(dataset))
        np.testing.assert_array_equal(copy.pairs[0].lr(), dataset.pairs[0].lr())


# How LR and HR find each other


@pytest.mark.parametrize(
    ("lr", "hr", "name"),
    [
        ("0801x4.png", "0801.png", "0801"),
        ("babyx4.bmp", "baby.bmp", "baby"),
        ("babyX4.png", "baby.png", "baby"),
        ("baby_x4.png", "baby.png", "baby"),
        ("baby_LR.png", "baby.png", "baby"),
        ("baby_LR.png", "baby_HR.png", "baby"),
        ("img_001_SRF_4_LR.png", "img_001_SRF_4_HR.png", "img_001_SRF_4"),
        ("baby_LRBI_x4.png", "baby_HR_x4.png", "baby"),
        ("baby.png", "baby.png", "baby"),
        ("baby.png", "baby.bmp", "baby"),
        ("BABY.PNG", "baby.png", "baby"),
        ("baby_HR.png", "baby_HR.png", "baby"),
        ("matrix4.png", "matrix4.png", "matrix4"),
        ("matrix4x4.png", "matrix4.png", "matrix4"),
    ],
)
def test_names_that_pair(tmp_path: Path, lr: str, hr: str, name: str) -> None:
    save_pair(tmp_path / "HR" / hr, tmp_path / "LR_x4" / lr)
    dataset = load_dataset(folder(tmp_path))
    assert names(dataset) == [name]
    np.testing.assert_array_equal(dataset.pairs[0].hr(), read_rgb(tmp_path / "HR" / hr))
    np.testing.assert_array_equal(dataset.pairs[0].lr(), read_rgb(tmp_path / "LR_x4" / lr))


def test_images_without_a_counterpart_are_named(tmp_path: Path) -> None:
    for number in range(1, 6):
        save_pair(tmp_path / "HR" / f"{number}.png", tmp_path / "LR" / f"{number}x4.png")
    (tmp_path / "HR" / "3.png").unlink()
    with pytest.raises(DataError, match=r"no HR image in .*/HR belongs to 3x4\.png; complete the set"):
        load_dataset(folder(tmp_path))
    for number in (1, 2, 3, 4):
        (tmp_path / "LR" / f"{number}x4.png").unlink()
    message = r"no LR image in .*/LR belongs to 1\.png, 2\.png, 4\.png; complete"
    with pytest.raises(DataError, match=message):
        load_dataset(folder(tmp_path))


def test_many_missing_counterparts_are_counted(tmp_path: Path) -> None:
    save_pair(tmp_path / "HR" / "a.png", tmp_path / "LR" / "a.png")
    for number in range(9):
        save(tmp_path / "HR" / f"{number}.png")
    with pytest.raises(DataError, match=r"belongs to 0\.png, 1\.png, 2\.png and 6 more;"):
        load_dataset(folder(tmp_path))


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        (["a.png", "a.bmp"], []),
        (["a.png", "A.png"], []),
        (["a.png", "a_HR.png"], ["ax4.png"]),
        (["a.png"], ["a.png", "ax4.png"]),
        ([], ["ax4.png", "a_LR.png"]),
    ],
)
def test_two_files_for_one_image_are_refused(tmp_path: Path, hr: list[str], lr: list[str]) -> None:
    for name in hr:
        save(tmp_path / "HR" / name)
    for name in lr:
        save(tmp_path / "LR" / name, photograph(6, 8))
    with pytest.raises(DataError, match=r"(?i)are both the image a; remove or rename one"):
        load_dataset(folder(tmp_path))


# The shipped configurations


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_configuration_fits_the_schema_and_bears_its_files_name(path: Path) -> None:
    conf = shipped(path.stem)
    assert conf.name == path.stem
    assert conf.kind == ("demo" if path.stem == "demo" else "folder")
    assert (conf.root, conf.hr, conf.lr, conf.limit) == (None, None, None, None)
    assert bool(conf.url) == (path.stem not in ("demo", "folder"))


def test_set5_of_the_reference_data(reference: Path) -> None:
    given_lr = load_dataset(shipped("set5", root=str(reference / "set5")))
    made_lr = load_dataset(shipped("set5", root=str(reference / "set5"), hr="HR"))
    assert names(given_lr) == ["baby", "bird", "butterfly", "head", "woman"]
    assert [pair.lr_shape for pair in given_lr.pairs] == [(128, 128), (72, 72), (64, 64), (70, 70), (86, 57)]
    assert (given_lr.lr_origin, made_lr.lr_origin) == ("files", "bicubic")
    assert [pair.lr_sha256 for pair in given_lr.pairs] == [pair.lr_sha256 for pair in made_lr.pairs]


def test_images_data_sets_and_quality_do_without_torch() -> None:
    script = "import sys, esr.data.datasets, esr.images.files, esr.images.quality; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
