"""Altered inputs: HR follows them, nothing earlier does, and only the parent knows what comes next."""

import numpy as np
import pytest

from esr.evaluation.inputs import Inputs
from esr.evaluation.worker.output_sample import SAMPLED, positions, sample_size
from esr.images.bicubic import bicubic_downscale
from esr.timing.schedule import Pass

NOISE = 1.5
ROUNDING = 1.0


class Scene:
    """A smooth HR image and its LR."""

    hr_file = "there"

    def __init__(self, height: int, width: int, seed: int) -> None:
        rows, columns = np.mgrid[: 4 * height, : 4 * width]
        random = np.random.default_rng(seed)
        waves = [
            np.sin(
                2
                * np.pi
                * (random.integers(1, 4) * rows / (4 * height) + random.integers(1, 4) * columns / (4 * width))
            )
            for _ in range(3)
        ]
        self._hr = (128 + 60 * np.stack(waves, -1)).astype(np.uint8)
        self._lr = bicubic_downscale(self._hr)
        self.lr_shape = (height, width)

    def lr(self):
        return self._lr

    def hr(self):
        return self._hr


class WithoutHr(Scene):
    hr_file = None


PAIRS = [Scene(24, 32, 0), Scene(20, 16, 1), Scene(24, 32, 2)]


@pytest.fixture
def inputs():
    made = Inputs(PAIRS, secret=11)
    for image, pair in enumerate(PAIRS):
        made.hold_hr(image, pair.hr())
    return made


@pytest.mark.parametrize("image", range(3))
def test_hr_is_altered_as_its_input_is(inputs, image):
    height, width = PAIRS[image].lr_shape
    everywhere = np.arange(16 * height * width * 3)
    for one in (Pass(image), *(inputs.fresh(image) for _ in range(8))):
        truth = inputs.truth(one, everywhere).reshape(4 * height, 4 * width, 3)
        difference = np.abs(bicubic_downscale(truth.round().astype(np.uint8)).astype(float) - inputs.lr(one))
        # Next to the seams of a shift, and at borders that were inside, downscaling sees other neighbours.
        assert np.quantile(difference, 0.5) <= NOISE + ROUNDING
        assert np.mean(difference <= NOISE + 2 * ROUNDING) > 0.6


def test_an_unaltered_pass_is_the_image_itself(inputs):
    assert (inputs.lr(Pass(1)) == PAIRS[1].lr()).all()
    where = positions(PAIRS[1].hr().size, 4)
    assert (inputs.truth(Pass(1), where) == PAIRS[1].hr().reshape(-1)[where]).all()


def test_the_same_pass_gives_the_same_input_and_another_secret_another(inputs):
    one = Pass(0, 5)
    assert (inputs.lr(one) == inputs.lr(one)).all()
    assert (inputs.lr(one) != Inputs(PAIRS, secret=12).lr(one)).any()


def test_no_input_comes_near_a_combination_of_earlier_ones(inputs):
    """The best a memory can do, however it shifts and weighs: far beyond the tolerance of outputs."""
    seen = np.stack([inputs.lr(inputs.fresh(0)).ravel().astype(float) for _ in range(40)], 1)
    new = inputs.lr(inputs.fresh(0)).ravel().astype(float)
    weights = np.linalg.lstsq(seen, new, rcond=None)[0]
    assert np.abs(seen @ weights - new).max() > 100 * 2e-5 * 255


def test_the_noise_is_another_one_each_time_and_small(inputs):
    first, second = (inputs.recipe(inputs.fresh(0)).noise for _ in range(2))
    assert first != second


def test_without_hr_there_is_no_truth():
    made = Inputs([WithoutHr(8, 8, 0)], secret=1)
    made.hold_hr(0, PAIRS[0].hr())
    assert made.truth(made.fresh(0), np.arange(4)) is None
    assert made.lr(made.fresh(0)).shape == (8, 8, 3)


def test_hr_beyond_the_limit_of_memory_is_not_held(monkeypatch):
    monkeypatch.setattr("esr.evaluation.inputs._HELD_BYTES", 16 * 24 * 32 * 3)
    made = Inputs(PAIRS, secret=3)
    for image, pair in enumerate(PAIRS):
        made.hold_hr(image, pair.hr())
    held = [made.truth(Pass(image), np.arange(4)) is not None for image in range(3)]
    assert sum(held) == 1


def test_the_plainest_upscaling_repeats_pixels(inputs):
    lr = PAIRS[0].lr()
    where = positions(lr.size * 16, 9)
    repeated = lr.repeat(4, 0).repeat(4, 1).reshape(-1)[where]
    assert (inputs.nearest(lr, where) == repeated).all()


def test_samples_are_limited_and_follow_from_their_seed():
    assert sample_size(10**9) == SAMPLED
    assert sample_size(7) == 7
    assert (positions(10**9, 3) == positions(10**9, 3)).all()
    assert (positions(10**9, 3) != positions(10**9, 4)).any()
