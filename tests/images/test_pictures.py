"""Pictures: the part that tells most, the panels side by side, and the files of a record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr.errors import DataError
from esr.images import pictures
from esr.images.bicubic import bicubic_downscale, bicubic_upscale
from esr.images.files import read_rgb
from esr.images.pictures import Box, Views, choose_box, comparison, file_name, save

NAMES = {"candidate": "net", "baseline": "other"}


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def scene(height: int = 64, width: int = 96) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HR, LR and bicubic of smooth grey with fine stripes at rows 24 to 39 and columns 48 to 63."""
    hr = grey(height, width)
    hr[24:40, 48:64:2] = 240
    hr[24:40, 49:64:2] = 10
    lr = bicubic_downscale(hr)
    return hr, lr, bicubic_upscale(lr)


def views(hr, bicubic, lr, **outputs) -> Views:
    return Views(lr, bicubic, hr, outputs)


def test_the_crop_is_where_bicubic_loses_most():
    hr, _, bicubic = scene()
    assert choose_box(hr, bicubic, side=16) == Box(24, 48, 16, 16)


def test_without_hr_the_crop_is_where_gradients_are():
    image = grey(64, 96)
    image[30:36, 10:80] = 255
    image[:, 82:84] = 129  # a long but faint edge
    box = choose_box(None, image, side=24)
    assert box.top <= 28
    assert box.top + box.height >= 38
    assert 8 <= box.left <= 60


def test_the_border_does_not_count_where_there_is_room():
    hr, bicubic = grey(64, 64), grey(64, 64)
    bicubic[:4] = 0  # the worst error of all, at the very edge
    bicubic[40, 40] = 120
    box = choose_box(hr, bicubic, side=16)
    assert box.top + 16 > 40 >= box.top
    assert box.left + 16 > 40 >= box.left


@given(st.integers(1, 20), st.integers(1, 20), st.integers(4, 100), st.integers(0, 2**32 - 1), st.booleans())
def test_any_image_has_a_crop_that_fits(rows, columns, side, seed, with_hr):
    random = np.random.default_rng(seed)
    bicubic, hr = random.integers(0, 256, (2, 4 * rows, 4 * columns, 3), np.uint8)
    box = choose_box(hr if with_hr else None, bicubic, side)
    assert all(value % 4 == 0 for value in box)
    assert box.height == box.width == min(side - side % 4, 4 * rows, 4 * columns)
    assert box.of(hr).shape == (box.height, box.width, 3)
    assert box.of(hr[::4, ::4], 4).shape == (box.height // 4, box.width // 4, 3)


def test_equal_images_give_the_first_place():
    assert choose_box(grey(64, 64), grey(64, 64), side=16) == Box(8, 8, 16, 16)


def test_a_comparison_shows_every_panel_enlarged_in_its_own_pixels():
    hr, lr, bicubic = scene()
    box = Box(24, 48, 16, 16)
    picture = comparison(views(hr, bicubic, lr, candidate=hr, baseline=bicubic), box, NAMES, "scene")
    left, top, side, step = 10, 42, 256, 266
    for number, part in enumerate([box.of(bicubic), box.of(hr), box.of(bicubic), box.of(hr)], start=1):
        panel = picture[top : top + side, left + number * step : left + number * step + side]
        np.testing.assert_array_equal(panel[8::16, 8::16], part)
    np.testing.assert_array_equal(picture[top + 32 : top + side : 64, left + 32 : left + side : 64], box.of(lr, 4))
    assert picture.shape == (256 + 96, 5 * step + 10, 3)


def test_names_and_figures_stand_below_the_panels():
    hr, lr, bicubic = scene()
    seen = views(hr, bicubic, lr, candidate=bicubic)
    box = choose_box(hr, bicubic)
    shown, other_name = (comparison(seen, box, {"candidate": name}, "scene") for name in ("net", "NET"))
    np.testing.assert_array_equal(shown[:-64], other_name[:-64])
    assert (shown[-64:-32] != other_name[-64:-32]).any()
    figures = shown[-32:-8]
    assert (figures[:, 276:532] < 255).any()
    assert (figures[:, :266] == 255).all(), "LR has no PSNR"
    without = comparison(views(None, bicubic, lr, candidate=bicubic), box, {"candidate": "net"}, "scene")
    assert (without[-32:-8] == 255).all(), "no HR, no PSNR"


def test_a_network_may_be_called_like_another_panel():
    hr, lr, bicubic = scene()
    seen = views(hr, bicubic, lr, candidate=hr, baseline=hr)
    shown = comparison(seen, choose_box(hr, bicubic), {"candidate": "bicubic", "baseline": "bicubic"}, "scene")
    assert shown.shape[1] == 5 * 266 + 10


def test_long_and_strange_names_stay_below_their_own_panel():
    hr, lr, bicubic = scene()
    seen = views(hr, bicubic, lr, candidate=bicubic, baseline=hr)
    names = {"candidate": "a\nvery " * 40, "baseline": "\x00\u200b網路"}
    picture = comparison(seen, choose_box(hr, bicubic), names, "x" * 999)
    gaps = [picture[:, start : start + 10] for start in (266, 532, 798, 1064)]
    assert all((gap[40:] == 255).all() for gap in gaps)


def test_saved_crops_are_what_the_record_says(tmp_path):
    hr, lr, bicubic = scene()
    seen = views(hr, bicubic, lr, candidate=hr, baseline=bicubic)
    box = choose_box(hr, bicubic)
    picture = save(tmp_path, "0801", 7, seen, box)
    assert picture.image == 7
    assert list(picture.files) == ["lr", "bicubic", "candidate", "baseline", "hr"]
    assert Box(*picture.box) == box
    wanted = {"lr": box.of(lr, 4), "bicubic": box.of(bicubic), "candidate": box.of(hr)}
    for role, pixels in {**wanted, "baseline": box.of(bicubic), "hr": box.of(hr)}.items():
        np.testing.assert_array_equal(read_rgb(tmp_path / picture.files[role]), pixels)
    assert picture.files["hr"] == "images/0007-0801-hr.png"
    assert len(list(tmp_path.rglob("*.*"))) == 5


def test_a_part_may_be_the_whole_image(tmp_path):
    hr, lr, bicubic = scene()
    picture = save(tmp_path, "a", 0, views(None, bicubic, lr, candidate=hr), Box(0, 0, 64, 96))
    assert picture.box == (0, 0, 64, 96)
    assert list(picture.files) == ["lr", "bicubic", "candidate"]
    np.testing.assert_array_equal(read_rgb(tmp_path / picture.files["lr"]), lr)


@given(st.text(max_size=200), st.text(max_size=50))
def test_a_file_name_never_leads_elsewhere(name, role):
    made = file_name(name, 3, role)
    assert "/" not in made
    assert made.startswith("0003-")
    assert made.endswith(".png")
    assert len(made) < 150
    assert made.isascii()


def test_a_strangers_name_stays_inside_the_record(tmp_path):
    hr, lr, bicubic = scene()
    folder = tmp_path / "record"
    for index, name in enumerate(["../../escaped", "/etc/passwd", "..", "", "a/b\\c:d*e\x00"]):
        save(folder, name, index, views(hr, bicubic, lr, **{"../candidate": hr}), Box(24, 48, 16, 16))
    assert {path.parent for path in tmp_path.rglob("*.png")} == {folder / "images"}
    assert len(list(tmp_path.rglob("*.png"))) == 5 * 4


def test_images_that_do_not_belong_together_are_refused():
    hr, lr, bicubic = scene()
    with pytest.raises(DataError, match="net of 96×60 px stands beside images of 96×64 px"):
        views(hr, bicubic, lr, net=hr[:60])
    with pytest.raises(DataError, match="hr of 92×64 px"):
        views(hr[:, :92], bicubic, lr)
    with pytest.raises(DataError, match="the scale is 4"):
        views(hr, bicubic, lr[1:])


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    hr, lr, bicubic = scene()
    (tmp_path / pictures.FOLDER).write_text("in the way")
    with pytest.raises(DataError, match="cannot write"):
        save(tmp_path, "a", 0, views(hr, bicubic, lr), Box(24, 48, 16, 16))
