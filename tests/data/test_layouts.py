"""Data sets: the layouts people have, and what is found out before anything is measured."""

import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.image_folders import folder, names, photograph, save, save_pair, shipped

from esr.data.datasets import load_dataset
from esr.data.layouts import data_home
from esr.errors import DataError
from esr.images.files import read_rgb


@pytest.fixture(autouse=True)
def no_data_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps the developer's own data sets out of the tests."""
    home = tmp_path / "home of data"
    monkeypatch.setenv("ESR_DATA", str(home))
    return home


# Layouts people have


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("HR/baby.png", "LR_x4/babyx4.png"),
        ("HR/baby.png", "LR_bicubic/X4/babyx4.png"),
        ("hr/baby.png", "lr_bicubic/x4/babyx4.png"),
        ("GTmod12/baby.png", "LRbicx4/baby.png"),
        ("gtMOD12/baby.png", "lrBICx4/baby.png"),
        ("image_SRF_4/baby_HR.png", "image_SRF_4/baby_LR.png"),
        ("Set5_HR/baby.png", "Set5_LR/babyx4.png"),
        ("baby_HR.png", "baby_LR.png"),
        ("baby.png", "babyx4.png"),
    ],
)
def test_layouts_of_a_benchmark_set(tmp_path: Path, hr: str, lr: str) -> None:
    save_pair(tmp_path / hr, tmp_path / lr)
    dataset = load_dataset(shipped("set5", root=str(tmp_path)))
    assert (dataset.name, names(dataset), dataset.lr_origin) == ("set5", ["baby"], "files")
    np.testing.assert_array_equal(dataset.pairs[0].hr(), read_rgb(tmp_path / hr))
    np.testing.assert_array_equal(dataset.pairs[0].lr(), read_rgb(tmp_path / lr))


LR_NAMES = [

    "LRx4", "LRX4", "LR_unknown/X4", "LR_mild", "lq", "LQ", "lq_x4", "input", "inputs", "X4", "x4", "4x",
    "LRblurdown_x4", "LR_bicubic_X4", "LR-bicubic-x4", "LRBI/x4", "LR/X4", "LR/Set5/x4", "LR/LRBI/Set5/x4",
    "low_res", "LowRes", "LR_x4_sub", "Set5_LR_bicubic_x4", "LRbic", "lr images", "bicubic_x4",
]  # fmt: skip
HR_NAMES = ["GT", "hq", "target", "HR/Set5", "GTmod12", "high_res", "groundtruth", "Set5_HR_x4", "."]


@pytest.mark.parametrize(("hr", "lr"), [*(("HR", lr) for lr in LR_NAMES), *((hr, "lq") for hr in HR_NAMES)])
def test_names_of_lr_folders_that_people_use(tmp_path: Path, hr: str, lr: str) -> None:
    for name in ("a", "b"):
        save_pair(tmp_path / hr / f"{name}.png", tmp_path / lr / f"{name}.png")
        shade = np.full_like(read_rgb(tmp_path / lr / f"{name}.png"), 90)
        save(tmp_path / lr / f"{name}.png", shade)  # nothing that bicubic would make
    dataset = load_dataset(shipped("set5", root=str(tmp_path)))
    assert (names(dataset), dataset.lr_origin, dataset.lr_folder) == (["a", "b"], "files", lr)
    assert dataset.skipped == ()
    assert int(dataset.pairs[0].lr().max()) == 90


@pytest.mark.parametrize("lr", ["small", "downsampled by me", "quarter", "test/LR_images_2020"])
@pytest.mark.parametrize("hr", ["HR", "."])
def test_a_folder_of_an_unknown_name_that_looks_like_lr_is_never_replaced_by_bicubic(
    tmp_path: Path, lr: str, hr: str
) -> None:
    save_pair(tmp_path / hr / "a.png", tmp_path / lr / "ax4.png")
    message = rf"{re.escape(lr)} holds 1 images with the names of .*: pass data\.lr=.* data\.hr=.* to use them as LR"
    with pytest.raises(DataError, match=message):
        load_dataset(folder(tmp_path))
    chosen = load_dataset(folder(tmp_path, hr=hr, lr=lr))
    assert (chosen.lr_origin, chosen.lr_folder) == ("files", lr)
    assert load_dataset(folder(tmp_path, hr=hr)).lr_origin == "bicubic"


def test_hr_in_a_folder_of_an_unknown_name_is_not_left_out(tmp_path: Path) -> None:
    save_pair(tmp_path / "mine" / "a.png", tmp_path / "LR" / "ax4.png")
    with pytest.raises(DataError, match=r"mine holds 1 images .*: pass data\.hr=.*/mine .* to use them as HR"):
        load_dataset(folder(tmp_path))


def test_images_that_are_left_out_are_counted_with_the_reason(tmp_path: Path) -> None:
    save_pair(tmp_path / "HR" / "a.png", tmp_path / "LR_bicubic" / "X4" / "ax4.png")
    save(tmp_path / "HR" / "a_SR.png")
    save(tmp_path / "LR_bicubic" / "X2" / "ax2.png")
    save(tmp_path / "swinir" / "a.png")
    save(tmp_path / "swinir" / "b.png")
    dataset = load_dataset(folder(tmp_path))
    assert (names(dataset), dataset.lr_folder) == (["a"], "LR_bicubic/X4")
    assert [str(one) for one in dataset.skipped] == [
        "a_SR.png in HR (1 image, neither HR nor LR)",
        "swinir (2 images, no known name)",
        "LR_bicubic/X2 (1 image, another scale)",
    ]


@pytest.mark.parametrize(
    ("files", "expected", "skipped"),
    [
        (["img001HR", "img001LR", "img002HR", "img002LRx4"], ["img001", "img002"], 0),
        (["Canon_001_HR", "Canon_001_LR4"], ["Canon_001"], 0),
        (["Canon_001_HR", "Canon_001_LR2", "Canon_001_LR3", "Canon_001_LR4"], ["Canon_001"], 2),
        (["a", "ax4", "a_SR"], ["a"], 1),
        (["a", "a_lq"], ["a"], 0),
        (["a_gt", "a_lq", "a_rlfn"], ["a"], 1),
        (["img_1_SRF_4_HR", "img_1_SRF_4_LR", "img_1_SRF_4_A+", "img_1_SRF_4_bicubic"], ["img_1_SRF_4"], 2),
        (["a_HR", "a"], ["a"], 0),
        (["HR_1", "LR_1"], ["1"], 0),
        (["a", "a_x4_LR"], ["a"], 0),
        (["a", "ax4m", "b", "bx4m"], ["a", "b"], 0),
        (["a", "ax4", "ax2"], ["a"], 1),
        (["a", "b", "a_rlfn", "b_rlfn", "ax4", "bx4"], ["a", "b"], 2),
        (["a", "a_SwinIR", "ax4"], ["a"], 1),
        (["a", "a_day", "ax4", "a_dayx4"], ["a", "a_day"], 0),
    ],
)
def test_files_of_a_flat_folder_are_told_apart(
    tmp_path: Path, files: list[str], expected: list[str], skipped: int
) -> None:
    for name in files:
        is_lr = re.search(r"(?i)lr|lq|x4", name) or (name == "a" and "a_HR" in files)
        save(tmp_path / f"{name}.png", photograph(6, 8) if is_lr else photograph())
    dataset = load_dataset(folder(tmp_path))
    assert (names(dataset), dataset.lr_origin) == (expected, "files")
    assert sum(one.images for one in dataset.skipped) == skipped


@pytest.mark.parametrize(("small", "large"), [("{}_low", "{}_high"), ("{}.small", "{}.big"), ("in-{}", "out-{}")])
def test_small_and_large_versions_that_no_name_tells_apart_are_not_all_hr(
    tmp_path: Path, small: str, large: str
) -> None:
    for name in ("a", "b"):
        save_pair(tmp_path / f"{large.format(name)}.png", tmp_path / f"{small.format(name)}.png")
    with pytest.raises(DataError, match=r"is a quarter of .* call them NAME_LR4 and NAME_HR"):
        load_dataset(folder(tmp_path))


def test_two_images_whose_names_begin_alike_are_two_images(tmp_path: Path) -> None:
    for name in ("a_left", "a_right", "b_left", "b_right"):
        save(tmp_path / f"{name}.png")
    assert len(load_dataset(folder(tmp_path)).pairs) == 4


def test_images_of_a_kind_that_is_not_read_are_counted(tmp_path: Path) -> None:
    save_pair(tmp_path / "HR" / "a.png", tmp_path / "LR" / "a.png")
    for name in ("b.ppm", "c.PPM"):
        (tmp_path / "HR" / name).touch()
    reasons = [str(one) for one in load_dataset(folder(tmp_path)).skipped]
    assert reasons == ["b.ppm, c.PPM in HR (2 images, of a kind that is not read; save them as PNG)"]


@pytest.mark.parametrize("suffix", ["SR", "out", "result", "bicubic", "sr_x4"])
def test_results_beside_hr_are_no_hr(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / f"a_{suffix}.png")
    dataset = load_dataset(folder(tmp_path))
    assert (names(dataset), dataset.lr_origin, dataset.skipped[0].images) == (["a"], "bicubic", 1)


def test_results_of_any_method_beside_a_single_image_are_no_hr(tmp_path: Path) -> None:
    for name in ("a", "a_SwinIR", "a_HAT-L"):
        save(tmp_path / f"{name}.png")
    save(tmp_path / "a_crop.png", photograph(24, 24))
    dataset = load_dataset(folder(tmp_path))
    assert names(dataset) == ["a", "a_crop"]
    assert [str(one) for one in dataset.skipped] == ["a_HAT-L.png, a_SwinIR.png (2 images, neither HR nor LR)"]


def test_an_image_with_lr_in_another_folder_is_no_result(tmp_path: Path) -> None:
    for name in ("a", "a_day"):
        save_pair(tmp_path / f"{name}.png", tmp_path / "LR_x4" / f"{name}.png")
    assert names(load_dataset(folder(tmp_path))) == ["a", "a_day"]


def test_names_that_only_look_like_results_or_scales_stay_images(tmp_path: Path) -> None:
    for name in ("img_1", "img_1_2", "img_2", "phoenix2", "cat_out", "dog"):
        save(tmp_path / f"{name}.png")
    dataset = load_dataset(folder(tmp_path))
    assert names(dataset) == ["cat_out", "dog", "img_1", "img_1_2", "img_2", "phoenix2"]
    assert dataset.skipped == ()


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_with_accents_pair_however_they_are_written(tmp_path: Path, forms: tuple[str, str]) -> None:
    hr, lr = (unicodedata.normalize(form, "Zürich") for form in forms)
    save_pair(tmp_path / "HR" / f"{hr}.png", tmp_path / "LR" / f"{lr}x4.png")
    assert len(load_dataset(folder(tmp_path)).pairs) == 1


def test_of_div2ks_versions_the_challenges_is_taken_and_the_other_is_told(tmp_path: Path) -> None:
    save_pair(tmp_path / "DIV2K_valid_HR" / "0801.png", tmp_path / "DIV2K_valid_LR_bicubic" / "X4" / "0801x4.png")
    save(tmp_path / "DIV2K_valid_LR_unknown" / "X4" / "0801x4.png", photograph(6, 8))
    dataset = load_dataset(shipped("div2k_valid", root=str(tmp_path)))
    assert dataset.lr_folder == "DIV2K_valid_LR_bicubic/X4"
    assert [str(one) for one in dataset.skipped] == ["DIV2K_valid_LR_unknown/X4 (1 image, another version)"]
    shutil.rmtree(tmp_path / "DIV2K_valid_LR_bicubic")
    assert load_dataset(shipped("div2k_valid", root=str(tmp_path))).lr_folder == "DIV2K_valid_LR_unknown/X4"


def test_the_sets_of_the_later_challenges_as_their_organisers_lay_them_out(tmp_path: Path) -> None:
    for number in ("000001", "0801"):
        save_pair(tmp_path / f"DIV2K_LSDIR_valid_HR/{number}.png", tmp_path / f"DIV2K_LSDIR_valid_LR/{number}x4.png")
    save(tmp_path / "DIV2K_LSDIR_test_LR" / "000001x4.png")
    save(tmp_path / "NTIRE2026_ESR" / "figs" / "logo.png")
    valid = load_dataset(shipped("div2k_lsdir_valid", root=str(tmp_path)))
    assert (valid.name, names(valid), valid.has_hr) == ("div2k_lsdir_valid", ["000001", "0801"], True)
    test = load_dataset(shipped("div2k_lsdir_test", root=str(tmp_path)))
    assert (test.name, names(test), test.has_hr) == ("div2k_lsdir_test", ["000001"], False)


@pytest.mark.parametrize("lr", ["DIV2K_valid_LR_bicubic/X4", "DIV2K_valid_LR"])
def test_div2k_as_it_is_unpacked(tmp_path: Path, lr: str) -> None:
    for number in ("0801", "0802"):
        save_pair(tmp_path / "DIV2K_valid_HR" / f"{number}.png", tmp_path / lr / f"{number}x4.png")
    save(tmp_path / "DIV2K_test_LR_bicubic" / "X4" / "0901x4.png")
    save(tmp_path / "DIV2K_train_HR" / "0001.png")
    valid = load_dataset(shipped("div2k_valid", root=str(tmp_path)))
    assert (names(valid), valid.has_hr, valid.lr_origin) == (["0801", "0802"], True, "files")
    test = load_dataset(shipped("div2k_test", root=str(tmp_path)))
    assert (names(test), test.has_hr) == (["0901"], False)


def test_hr_folder_alone_in_a_root_is_downscaled(tmp_path: Path) -> None:
    save(tmp_path / "HR" / "baby.png")
    save(tmp_path / "LR_bicubic" / "X2" / "babyx2.png")
    assert load_dataset(folder(tmp_path)).lr_origin == "bicubic"


def test_two_folders_for_one_purpose_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    save_pair(tmp_path / "HR" / "a.png", tmp_path / "LR_x4" / "a.png")
    save(tmp_path / "LR_bicubic" / "X4" / "a.png", photograph(6, 8))
    with pytest.raises(DataError, match="holds both LR_x4 and LR_bicubic/X4; keep one, or choose"):
        load_dataset(folder(tmp_path))
    chosen = load_dataset(folder(tmp_path, hr="HR", lr="LR_bicubic/X4"))
    np.testing.assert_array_equal(chosen.pairs[0].lr(), read_rgb(tmp_path / "LR_bicubic" / "X4" / "a.png"))


def test_named_folders_win_over_known_ones(tmp_path: Path) -> None:
    save_pair(tmp_path / "HR" / "known.png", tmp_path / "LR" / "known.png")
    save_pair(tmp_path / "sharp" / "a.png", tmp_path / "small" / "a.png")
    assert names(load_dataset(folder(tmp_path, hr="sharp", lr="small"))) == ["a"]
    assert load_dataset(folder(tmp_path, hr="sharp")).lr_origin == "bicubic"
    assert not load_dataset(folder(tmp_path, lr="small")).has_hr
    absolute = folder("elsewhere", hr=str(tmp_path / "sharp"), lr=str(tmp_path / "small"))
    assert names(load_dataset(absolute)) == ["a"]


def test_one_folder_named_for_both_is_split_by_file_names(tmp_path: Path) -> None:
    save_pair(tmp_path / "both" / "a_HR.png", tmp_path / "both" / "a_LR.png")
    dataset = load_dataset(folder(tmp_path, hr="both", lr="both"))
    assert (names(dataset), dataset.lr_origin) == (["a"], "files")


def test_a_name_that_ends_like_an_lr_mark_can_be_declared_hr(tmp_path: Path) -> None:
    save(tmp_path / "matrix4.png")
    save(tmp_path / "other.png")
    with pytest.raises(DataError, match=r"belongs to matrix4\.png; complete the set, or name the right folders"):
        load_dataset(folder(tmp_path))
    assert names(load_dataset(folder(hr=str(tmp_path)))) == ["matrix4", "other"]


@pytest.mark.parametrize(
    "place", ["set5", "Set5", "HR of set5"], ids=["its folder", "in another case", "not below the home"]
)
def test_without_a_root_a_set_is_looked_for_at_home(no_data_at_home: Path, place: str) -> None:
    save(no_data_at_home / place / "HR" / "baby.png")
    if place == "HR of set5":
        with pytest.raises(DataError, match="no images for set5"):
            load_dataset(shipped("set5"))
    else:
        assert names(load_dataset(shipped("set5"))) == ["baby"]


@pytest.mark.parametrize("shared", ["DIV2K", "."])
def test_without_a_root_div2k_is_found_in_its_shared_folder(no_data_at_home: Path, shared: str) -> None:
    root = no_data_at_home / shared
    save_pair(root / "DIV2K_valid_HR" / "0801.png", root / "DIV2K_valid_LR" / "0801x4.png")
    save(root / "DIV2K_test_LR" / "0901x4.png")
    assert names(load_dataset(shipped("div2k_valid"))) == ["0801"]
    assert names(load_dataset(shipped("div2k_test"))) == ["0901"]


def test_the_home_of_data_is_the_users_where_no_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ESR_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert data_home() == Path("/somewhere/esr/data")
    monkeypatch.setenv("ESR_DATA", "~/sets")
    assert data_home() == Path.home() / "sets"


# What is found out before anything is measured


def test_a_set_that_is_nowhere_says_where_to_put_it_and_where_to_get_it(no_data_at_home: Path) -> None:
    expected = (
        f"no images for div2k_valid: pass data.root=FOLDER, or put them into {no_data_at_home}/div2k_valid; "
        "get them from https://data.vision.ee.ethz.ch/cvl/DIV2K/"
    )
    with pytest.raises(DataError, match=re.escape(expected)):
        load_dataset(shipped("div2k_valid"))


def test_folders_that_are_missing_empty_or_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    (tmp_path / "file").touch()
    expected = {
        "missing": "missing is not there; pass data.root=FOLDER",
        "file": "file is a file, not a folder",
        "empty": "empty holds no PNG, BMP, JPEG, TIFF or WebP image; pass data.root=FOLDER",
        "texts": r"texts holds no .* image but a\.txt; pass data.root=FOLDER",
    }
    for name, message in expected.items():
        with pytest.raises(DataError, match=message):
            load_dataset(folder(tmp_path / name))


def test_the_home_of_an_unknown_user_is_a_folder_that_is_not_there() -> None:
    with pytest.raises(DataError, match="~nobody-at-all/images is not there"):
        load_dataset(folder("~nobody-at-all/images"))


def test_a_named_folder_that_is_missing_is_blamed_on_its_own_key(tmp_path: Path) -> None:
    save(tmp_path / "HR" / "a.png")
    with pytest.raises(DataError, match=r"LR is not there; pass .* data\.hr=FOLDER and data\.lr=FOLDER"):
        load_dataset(folder(tmp_path, hr="HR", lr="LR"))


def test_sizes_that_do_not_match_are_both_told(tmp_path: Path) -> None:
    save(tmp_path / "HR" / "a.png", photograph(25, 34))
    save(tmp_path / "LR" / "a.png", photograph(6, 12))
    message = r"a: LR of 12×6 px belongs to HR of 48×24 px, but HR is 32×24 px \(cropped to multiples of 4\)"
    with pytest.raises(DataError, match=message):
        load_dataset(folder(tmp_path))


def test_lr_and_hr_swapped_are_noticed(tmp_path: Path) -> None:
    save_pair(tmp_path / "HR" / "a.png", tmp_path / "LR" / "a.png")
    with pytest.raises(DataError, match="LR of 32×24 px belongs to HR of 128×96 px, but HR is 8×4 px"):
        load_dataset(folder(tmp_path, hr="LR", lr="HR"))


@pytest.mark.parametrize(("border", "least"), [(4, 19), (0, 11), (8, 27)])
def test_hr_has_to_be_large_enough_for_border_and_window(tmp_path: Path, border: int, least: int) -> None:
    enough = -(-least // 4) * 4
    save(tmp_path / "large" / "a.png", photograph(enough, enough + 4))
    assert names(load_dataset(folder(tmp_path / "large"), border)) == ["a"]
    save(tmp_path / "small" / "a.png", photograph(enough - 1, enough + 4))
    message = f"a: HR of .*×{enough - 4} px is too small to measure, a border of {border} px takes {least}×{least}"
    with pytest.raises(DataError, match=message):
        load_dataset(folder(tmp_path / "small"), border)


def test_an_hr_image_without_a_single_lr_pixel_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png", photograph(3, 30))
    with pytest.raises(DataError, match=r"a\.png: an image of 30×3 px is smaller than 4×4; leave the image out"):
        load_dataset(folder(tmp_path))


def test_lr_may_be_of_any_size_where_nothing_is_compared(tmp_path: Path) -> None:
    save(tmp_path / "a_LR.png", photograph(1, 1))
    assert load_dataset(folder(tmp_path)).pairs[0].lr_shape == (1, 1)


def damage_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize("role", ["HR", "LR"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_middle, "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "is damaged"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("<html>404</html>"), "is no PNG"),
        (lambda path: (path.unlink(), path.symlink_to("gone")), "is not there"),
    ],
)
def test_an_unreadable_file_anywhere_is_found_at_once(
    tmp_path: Path, role: str, damage: Callable[[Path], object], message: str
) -> None:
    for number in range(1, 8):
        save_pair(tmp_path / "HR" / f"{number}.png", tmp_path / "LR" / f"{number}.png")
    damage(tmp_path / role / "7.png")
    with pytest.raises(DataError, match=rf"{role}/7\.png {message}"):
        load_dataset(folder(tmp_path))
    assert len(load_dataset(folder(tmp_path, limit=6)).pairs) == 6


def test_several_problems_give_the_first_and_the_number_of_the_others(tmp_path: Path) -> None:
    for number in range(1, 8):
        save(tmp_path / f"{number}.png")
    for number in (3, 5, 6):
        (tmp_path / f"{number}.png").write_text("")
    with pytest.raises(DataError, match=r"/3\.png is empty.* \(2 more of 7 images have problems\)$"):
        load_dataset(folder(tmp_path))
