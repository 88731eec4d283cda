"""Pictures: the part that tells most, the panels side by side, and the files of a record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr.errors import DataError
from esr.images import pictures
from esr.images.bicubic import bicubic_downscale, bicubic_upscale
from esr.images.files import read_rgb
from esr.images.pictures import Box, Views, choose_box, comparison, differing_box, file_name, save
from esr.images.quality import measure
from esr.images.sheet import GAP, LINE, PANEL

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


def views(hr, lr, **outputs) -> Views:
    return Views(lr, hr, outputs)


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


START, TOP, STEP = 2 * GAP + 96, LINE + 2 * GAP + LINE, PANEL + GAP
"""Left edge of the first panel, upper edge of the first row, and the distance between columns, for `scene`."""


def test_a_comparison_shows_every_panel_enlarged_in_its_own_pixels_in_the_reports_order():
    hr, lr, bicubic = scene()
    box = Box(24, 48, 16, 16)
    picture = comparison(views(hr, lr, candidate=hr, baseline=bicubic), box, NAMES, "scene")
    for number, image in enumerate([bicubic, bicubic, hr, hr], start=1):  # bicubic, baseline, candidate, HR
        left = START + number * STEP
        panel = picture[TOP : TOP + PANEL, left : left + PANEL]
        np.testing.assert_array_equal(panel[8::16, 8::16], box.of(image))
    lr_panel = picture[TOP : TOP + PANEL, START : START + PANEL]
    np.testing.assert_array_equal(lr_panel[32::64, 32::64], box.of(lr, 4))
    assert picture.shape[1] == START + 5 * STEP


def test_the_whole_image_shows_where_the_parts_are():
    hr, lr, bicubic = scene()
    other = bicubic.copy()
    other[8:24, 8:24] = 0  # far from where bicubic errs most
    seen = views(hr, lr, candidate=other, baseline=bicubic)
    box = choose_box(hr, bicubic, side=16)
    apart = differing_box(other, bicubic, side=16)
    assert (box, apart) == (Box(24, 48, 16, 16), Box(8, 8, 16, 16))
    whole = comparison(seen, box, NAMES, "scene")[LINE + 2 * GAP :][:64, GAP : GAP + 96]
    for part, colour in ((box, (194, 84, 0)), (apart, (0, 114, 178))):
        edge = part.of(whole)
        assert (edge[0] == colour).all()
        assert (edge[:, -1] == colour).all()
    np.testing.assert_array_equal(whole[40:, :40], hr[40:, :40])


def test_without_a_second_network_there_is_one_row():
    hr, lr, bicubic = scene()
    box = choose_box(hr, bicubic)
    two = comparison(views(hr, lr, candidate=bicubic, baseline=hr), box, NAMES, "scene")
    one = comparison(views(hr, lr, candidate=bicubic), box, {"candidate": "net"}, "scene")
    assert two.shape[0] - one.shape[0] == PANEL + 2 * LINE + GAP


def test_names_and_figures_of_the_whole_image_stand_below_the_panels():
    hr, lr, bicubic = scene()
    seen = views(hr, lr, candidate=bicubic)
    box = choose_box(hr, bicubic)
    shown, other_name = (comparison(seen, box, {"candidate": name}, "scene") for name in ("net", "NET"))
    foot = -(GAP + 2 * LINE)
    np.testing.assert_array_equal(shown[:foot], other_name[:foot])
    assert (shown[foot : foot + LINE] != other_name[foot : foot + LINE]).any()
    figures = shown[foot + LINE :]
    assert (figures[:, START + STEP : START + 2 * STEP] < 255).any()
    assert (figures[:, :START] == 255).all()
    assert (figures[:, START : START + STEP] == 255).all(), "LR has no PSNR"
    without = comparison(views(None, lr, candidate=bicubic), box, {"candidate": "net"}, "scene")
    assert (without[foot + LINE :] == 255).all(), "no HR, no PSNR"


def test_the_figures_are_those_of_the_record(monkeypatch):
    hr, lr, bicubic = scene()
    printed = []
    monkeypatch.setattr(pictures, "side_by_side", lambda whole, rows, feet, heading: printed.append((rows, feet)))
    comparison(views(hr, lr, candidate=hr, baseline=bicubic), choose_box(hr, bicubic), NAMES, "scene")
    ((rows, feet),) = printed
    own = measure(bicubic, hr)
    assert feet == [
        ("LR", ""),
        ("bicubic", f"{own.psnr_rgb:.2f} dB, {own.ssim_rgb:.4f}"),
        ("other (baseline)", f"{own.psnr_rgb:.2f} dB, {own.ssim_rgb:.4f}"),
        ("net", "identical, 1.0000"),
        ("HR", ""),
    ]
    assert [row.heading.split(",")[0] for row in rows] == ["where bicubic errs most", "where net and other differ most"]


def test_a_network_may_be_called_like_another_panel():
    hr, lr, bicubic = scene()
    seen = views(hr, lr, candidate=hr, baseline=hr)
    shown = comparison(seen, choose_box(hr, bicubic), {"candidate": "bicubic", "baseline": "bicubic"}, "scene")
    assert shown.shape[1] == START + 5 * STEP


def test_an_image_too_small_for_a_figure_is_shown_without_one():
    hr, lr, bicubic = (image[: 16 // shrink, : 16 // shrink] for image, shrink in zip(scene(), (1, 4, 1), strict=True))
    seen = views(hr, lr, candidate=bicubic)
    assert comparison(seen, choose_box(hr, bicubic), {"candidate": "net"}, "scene").ndim == 3


def test_long_and_strange_names_stay_below_their_own_panel():
    hr, lr, bicubic = scene()
    seen = views(hr, lr, candidate=bicubic, baseline=hr)
    names = {"candidate": "a\nvery " * 40, "baseline": "\x00\u200b網路"}
    picture = comparison(seen, choose_box(hr, bicubic), names, "x" * 999)
    for number in range(1, 5):
        gap = picture[-(GAP + 2 * LINE) :, START + number * STEP - GAP : START + number * STEP]
        assert (gap == 255).all()


def test_long_names_leave_room_for_the_rest_of_their_line(monkeypatch):
    said = []
    monkeypatch.setattr(
        pictures, "side_by_side", lambda _, rows, feet, head: said.extend([head, *(r.heading for r in rows)])
    )
    hr, lr, bicubic = scene()
    seen = views(hr, lr, candidate=bicubic, baseline=hr)
    names = {"candidate": "a_" + "very_" * 37 + "long_1", "baseline": "imdn"}
    comparison(seen, choose_box(hr, bicubic), names, "image_" * 30 + "7.png")
    assert all(len(line) <= 110 for line in said)
    assert "image_7.png: 96 x 64 px; below" in said[0]
    assert "long_1 and imdn differ most, " in said[2]


def test_saved_crops_are_what_the_record_says(tmp_path):
    hr, lr, bicubic = scene()
    seen = views(hr, lr, candidate=hr, baseline=bicubic)
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
    hr, lr, _ = scene()
    picture = save(tmp_path, "a", 0, views(None, lr, candidate=hr), Box(0, 0, 64, 96))
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
    hr, lr, _ = scene()
    folder = tmp_path / "record"
    for index, name in enumerate(["../../escaped", "/etc/passwd", "..", "", "a/b\\c:d*e\x00"]):
        save(folder, name, index, views(hr, lr, **{"../candidate": hr}), Box(24, 48, 16, 16))
    assert {path.parent for path in tmp_path.rglob("*.png")} == {folder / "images"}
    assert len(list(tmp_path.rglob("*.png"))) == 5 * 4


def test_images_that_do_not_belong_together_are_refused():
    hr, lr, _ = scene()
    with pytest.raises(DataError, match="net of 96×60 px stands beside images of 96×64 px"):
        views(hr, lr, net=hr[:60])
    with pytest.raises(DataError, match="hr of 92×64 px"):
        views(hr[:, :92], lr)
    with pytest.raises(DataError, match="hr of 96×64 px stands beside images of 96×60 px"):
        views(hr, lr[1:])


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    hr, lr, _ = scene()
    (tmp_path / pictures.FOLDER).write_text("in the way")
    with pytest.raises(DataError, match="cannot write"):
        save(tmp_path, "a", 0, views(hr, lr), Box(24, 48, 16, 16))
