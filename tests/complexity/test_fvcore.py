"""FLOPs as the challenges since 2024 count them; the expected figures are those of fvcore 0.1.5."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.counted import PIXELS, SIZE, Calling, Convolving
from torch import Tensor, nn

from esr.complexity import measure
from esr.models.rlfn import RLFN
from esr.models.span import SPAN


@pytest.mark.parametrize(
    ("function", "flops"),
    [
        (lambda z: F.linear(z(2, 6, 7, 3), z(5, 3), z(5)), 2 * 6 * 7 * 3 * 5),
        (lambda z: z(2, 3) @ z(3, 5), 2 * 3 * 5),
        (lambda z: z(2, 1, 3, 4) @ z(5, 4, 6), 2 * 3 * 4 * 6),  # the left factor as it is, not as it is broadcast
        (lambda z: z(2, 3) @ z(3), 2 * 3),
        (lambda z: torch.bmm(z(7, 2, 3), z(7, 3, 5)), 7 * 2 * 3 * 5),
        (lambda z: torch.addmm(z(5), z(2, 3), z(3, 5)), 2 * 3 * 5),
        (lambda z: torch.einsum("bij,bik->bjk", z(2, 3, 4), z(2, 3, 5)), 2 * 3 * 4 * 5),
        (lambda z: torch.einsum("bij,bkj->bik", z(2, 3, 4), z(2, 5, 4)), 2 * 3 * 4 * 5),
        (lambda z: torch.einsum("bhic,bhjc->bhij", z(1, 2, 7, 4), z(1, 2, 9, 4)), 504),
        (lambda z: torch.einsum("ij,jk->ik", z(123, 45), z(45, 67)), 370_850),  # of 370,845: four digits are printed
        (lambda z: F.conv2d(z(1, 4, 8, 9), z(6, 4, 3, 3), z(6)), 6 * 7 * 6 * 4 * 9),
        (lambda z: F.conv2d(z(4, 8, 9), z(4, 1, 3, 3), groups=4), 6 * 7 * 4 * 9),
        (lambda z: F.conv1d(z(2, 4, 9), z(6, 4, 3)), 2 * 7 * 6 * 4 * 3),
        (lambda z: F.conv3d(z(1, 2, 4, 4, 4), z(3, 2, 2, 2, 2)), 27 * 3 * 2 * 8),
        (lambda z: F.conv_transpose2d(z(1, 4, 5, 6), z(4, 3, 2, 2), stride=2), 5 * 6 * 4 * 3 * 4),
        (lambda z: F.batch_norm(z(1, 4, 5, 6), z(4), z(4)), 120),
        (lambda z: F.batch_norm(z(1, 4, 5, 6), z(4), z(4), z(4), z(4)), 2 * 120),
        (lambda z: F.batch_norm(z(1, 4, 5, 6), None, None, z(4), z(4), training=True), 5 * 120),
        (lambda z: F.layer_norm(z(2, 4, 6), (6,)), 4 * 48),
        (lambda z: F.layer_norm(z(2, 4, 6), (6,), z(6), z(6)), 5 * 48),
        (lambda z: F.group_norm(z(1, 4, 5, 6), 2, z(4), z(4)), 5 * 120),
        (lambda z: F.instance_norm(z(1, 4, 5, 6)), 4 * 120),
        (lambda z: F.adaptive_avg_pool2d(z(1, 4, 5, 6), 1), 120),
        (lambda z: F.interpolate(z(1, 4, 5, 6), scale_factor=2), 4 * 120),
        (lambda z: F.interpolate(z(1, 4, 5, 6), size=(10, 12), mode="bilinear"), 4 * 4 * 120),
        (lambda z: F.grid_sample(z(1, 4, 5, 6), z(1, 5, 6, 2), align_corners=False), 4 * 120),
    ],
)
def test_operators_count_as_fvcore_counts_them(function: Callable[..., Tensor], flops: int) -> None:
    def work(image: Tensor) -> Tensor:
        return function(partial(torch.ones, device=image.device))

    assert measure(Calling(work), SIZE, SIZE).flops_fvcore == flops


@pytest.mark.parametrize(
    "function",
    [
        lambda z: F.conv2d(z(1, 4, 8, 9), z(6, 4, 3, 3), padding="same"),
        lambda z: F.scaled_dot_product_attention(*(3 * [z(1, 2, 7, 4)])),
        lambda z: torch.tensordot(z(2, 3), z(3, 4), 1),
        lambda z: torch.baddbmm(z(7, 2, 5), z(7, 2, 3), z(7, 3, 5)),
        lambda z: z(2, 5).addmm_(z(2, 3), z(3, 5)),
        lambda z: F.interpolate(z(1, 4, 5, 6), scale_factor=2, mode="bicubic"),
        lambda z: F.avg_pool2d(z(1, 4, 6, 6), 2),
        lambda z: F.gelu(z(2, 3)) * z(2, 3).softmax(1),
    ],
)
def test_what_fvcore_does_not_know_counts_as_nothing(function: Callable[..., Tensor]) -> None:
    def work(image: Tensor) -> Tensor:
        return function(partial(torch.ones, device=image.device))

    assert measure(Calling(work), SIZE, SIZE).flops_fvcore == 0


def test_values_change_no_count() -> None:
    def on_the_device(features: Tensor) -> Tensor:
        float(features.sum())  # a value, which the meta device does not have
        return F.layer_norm(features @ features, (SIZE,))

    flops = PIXELS * 4 * 3 * 9 + 4 * SIZE**3 + 4 * 4 * PIXELS
    assert measure(Convolving(on_the_device), SIZE, SIZE).flops_fvcore == flops


def test_work_that_never_reaches_the_output_does_not_count() -> None:
    conv = PIXELS * 4 * 3 * 9

    def half_used(features: Tensor) -> Tensor:
        unused = features @ features.mT
        unused = unused + 1
        used = torch.empty_like(features)
        used[:] = features @ features
        return used

    counted = measure(Convolving(half_used), SIZE, SIZE)

    assert counted.flops_fvcore == conv + 4 * SIZE**3
    assert counted.macs == conv + 2 * 4 * SIZE**3


def test_an_operator_in_place_reaches_the_output_through_the_tensor_it_changes() -> None:
    class InPlace(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            total = torch.zeros_like(image)
            total[:, :1].add_(image[:, :1] @ image[:, 1:2])
            return total

    assert measure(InPlace(), SIZE, SIZE).flops_fvcore == SIZE**3


@pytest.mark.parametrize(("network", "year", "number"), [(RLFN, "2024", "0"), (SPAN, "2026", "0")])
def test_baselines_count_to_the_last_digit(network: type[nn.Module], year: str, number: str, reference: Path) -> None:
    with (reference / "challenges" / "expected_2024_2026.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if (row["year"], row["id"]) == (year, number))

    counted = measure(network())

    assert counted.flops_fvcore == int(row["fvcore_flops"])
    assert (counted.params, counted.macs) == (int(row["params"]), int(row["macs_esr"]))
    assert (counted.activations, counted.convolutions) == (int(row["activations"]), int(row["convs"]))
