"""Weights and images that are not what they should be, by the command line: one line, exit code 2, nothing lost."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cases import with_slow
from helpers.command import Run
from helpers.participants import ONCE, SMALL
from PIL import Image

RunEsr = Callable[..., Run]


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, (f"open({str(self.target)!r}, 'w').close()",)


def tiny_state(channels: int = 8) -> dict[str, torch.Tensor]:
    return {
        "features.weight": torch.zeros(channels, 3, 3, 3),
        "features.bias": torch.zeros(channels),
        "upsampler.0.weight": torch.zeros(48, channels, 3, 3),
        "upsampler.0.bias": torch.zeros(48),
    }


def truncated(path: Path) -> None:
    torch.save(tiny_state(), path)
    path.write_bytes(path.read_bytes()[:-200])


def hostile(path: Path) -> None:
    path.write_bytes(pickle.dumps({"features.weight": Payload(path.with_name("ran"))}))


def a_web_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><title>404</title>")


def empty(path: Path) -> None:
    path.touch()


def wrong_shape(path: Path) -> None:
    torch.save(tiny_state(channels=16), path)


def another_network(path: Path) -> None:
    torch.save({"stem.weight": torch.zeros(3), "stem.bias": torch.zeros(3)}, path)


def not_finite(path: Path) -> None:
    torch.save({**tiny_state(), "features.bias": torch.full((8,), float("nan"))}, path)


def refused(run: Run, *words: str) -> None:
    lines = run.err.splitlines()
    assert run.code == 2, run.err
    assert len(lines) == 1, run.err
    assert lines[0].startswith("esr: ")
    assert not run.records
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("make", "word"),
    with_slow(
        [
            (truncated, "w.pth"),
            (hostile, "w.pth"),
            (a_web_page, "w.pth"),
            (empty, "w.pth"),
            (wrong_shape, "shape"),
            (another_network, "another network"),
            (not_finite, "w.pth"),
        ],
        {truncated, a_web_page, empty, not_finite},
    ),
)
def test_weights_that_cannot_be_loaded_are_refused_and_left_alone(
    run_esr: RunEsr, participant: Path, make: Callable[[Path], None], word: str
) -> None:
    file = participant / "w.pth"
    make(file)
    before = file.read_bytes()
    words = [w for w in SMALL if not w.startswith("weights=")]
    refused(run_esr(*words, "weights=w.pth", cwd=participant), word)
    assert file.read_bytes() == before
    assert not (participant / "ran").exists()


def test_a_zoo_file_with_another_digest_is_refused_before_it_is_opened(run_esr: RunEsr, participant: Path) -> None:
    file = participant / "w.pth"
    hostile(file)
    digest = hashlib.sha256(b"the published bytes").hexdigest()
    (participant / "tiny.yaml").write_text(f"_target_: tiny.Tiny\ncheckpoint: {{file: w.pth, sha256: {digest}}}\n")
    words = [w for w in SMALL if not w.startswith("weights=")]
    refused(run_esr(*words, cwd=participant), "w.pth", digest[:8])
    assert file.exists()
    assert not (participant / "ran").exists()


def test_without_weights_all_that_can_be_done_is_said(run_esr: RunEsr) -> None:
    refused(run_esr("model=fden"), "https://", "weights=random", "weights=PATH")


def unreadable(folder: Path) -> None:
    (folder / "0.png").write_bytes(b"not a picture")


def cut_short(folder: Path) -> None:
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:300])


def sixteen_bit(folder: Path) -> None:
    Image.fromarray(np.full((64, 64), 40_000, np.uint16)).save(folder / "0.png")


def transparent(folder: Path) -> None:
    Image.fromarray(np.full((64, 64, 4), 100, np.uint8)).save(folder / "0.png")


def too_small(folder: Path) -> None:
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(folder / "0.png")


@pytest.mark.parametrize("spoil", [unreadable, cut_short, sixteen_bit, transparent, too_small])
def test_an_image_that_cannot_be_measured_is_named_before_anything_is(
    run_esr: RunEsr, participant: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(participant / "images")
    refused(run_esr(*SMALL, cwd=participant), "0.png" if spoil is not too_small else "0")


def test_grayscale_and_opaque_rgba_images_are_measured_as_rgb(run_esr: RunEsr, participant: Path) -> None:
    random = np.random.default_rng(0)
    gray = random.integers(0, 256, (64, 64), np.uint8)
    opaque = np.dstack([random.integers(0, 256, (64, 64, 3), np.uint8), np.full((64, 64), 255, np.uint8)])
    Image.fromarray(gray).save(participant / "images" / "0.png")
    Image.fromarray(opaque).save(participant / "images" / "1.png")
    assert run_esr(*SMALL, *ONCE, cwd=participant).code == 0


def test_an_lr_image_of_the_wrong_size_is_named_with_both_sizes(run_esr: RunEsr, participant: Path) -> None:
    (participant / "lr").mkdir()
    for file in (participant / "images").iterdir():
        with Image.open(file) as image:
            image.resize((16, 20)).save(participant / "lr" / f"{file.stem}x4.png")
    words = [w for w in SMALL if not w.startswith("data.root")]
    refused(run_esr(*words, "data.hr=images", "data.lr=lr", cwd=participant), "16", "20", "64")


def test_a_missing_counterpart_is_named(run_esr: RunEsr, participant: Path) -> None:
    (participant / "lr").mkdir()
    for name in ("0", "1"):
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(participant / "lr" / f"{name}x4.png")
    words = [w for w in SMALL if not w.startswith("data.root")]
    refused(run_esr(*words, "data.hr=images", "data.lr=lr", cwd=participant), "2")


def test_an_empty_and_a_missing_folder_are_named(run_esr: RunEsr, participant: Path) -> None:
    (participant / "nothing").mkdir()
    words = [w for w in SMALL if not w.startswith("data.root")]
    refused(run_esr(*words, "data.root=nothing", cwd=participant), "nothing")
    refused(run_esr(*words, "data.root=nowhere", cwd=participant), "nowhere")


def test_a_data_set_that_is_not_there_says_where_to_put_it(run_esr: RunEsr) -> None:
    refused(run_esr("model=imdn", "weights=random", "data=div2k_valid"), "div2k_valid", "data.root")


@pytest.mark.parametrize("override", ["timing.rounds=-3", "device.cpus=a", "data.name=${nope}"])
def test_a_wrong_setting_is_one_line_that_begins_with_it(run_esr: RunEsr, override: str) -> None:
    run = run_esr("model=rlfn", override)
    refused(run)
    assert run.err.startswith(f"esr: {override}: ")
