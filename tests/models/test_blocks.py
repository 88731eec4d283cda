"""The blocks that networks are built from, each by what its docstring promises."""

import pytest
import torch
from torch import Tensor, nn

from esr.models.blocks.attention import ESA, mean_and_contrast, pooled_context
from esr.models.blocks.convolution import Conv2d, conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.inplace import add, gate
from esr.models.blocks.trunk import ChainedTrunk


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 6, 33, 40, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("recorded", [False, True])
def test_adding_and_gating_overwrite_only_what_autograd_does_not_need(x: Tensor, recorded: bool) -> None:
    features, logits = x.clone().requires_grad_(recorded), x.flip(0).requires_grad_(recorded)
    gated, total = gate(x, logits * 1), add(features * 1, x)
    torch.testing.assert_close(gated, x * torch.sigmoid(x.flip(0)))
    torch.testing.assert_close(total, 2 * x)
    owned = x.clone().requires_grad_(recorded)
    assert (add(owned, x) is owned) is not recorded


def test_mean_and_contrast_are_the_population_statistics_of_each_channel(x: Tensor) -> None:
    deviation, mean = torch.std_mean(x, dim=(2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(mean_and_contrast(x), (mean, deviation))


@pytest.mark.parametrize("height", [15, 16, 20, 21, 37, 64])
def test_the_pooled_context_has_the_stated_height(height: int) -> None:
    context = pooled_context(4)(torch.zeros(1, 4, height, 64))
    assert context.shape[2] == ((height - 3) // 2 - 6) // 3 + 1


@pytest.mark.parametrize("convolutions", [1, 2, 3])
def test_the_pooled_context_activates_between_its_convolutions_only(convolutions: int) -> None:
    refine = pooled_context(4, convolutions, activation=nn.SiLU).get_submodule("refine")
    kinds = [type(module) for module in refine.children()]
    assert kinds == [Conv2d, nn.SiLU] * (convolutions - 1) + [Conv2d]


def test_spatial_attention_only_ever_weakens_features(x: Tensor) -> None:
    with torch.inference_mode():
        attended = ESA(6, 3, project_skip=False)(x)
    assert attended.shape == x.shape
    assert bool((attended.abs() <= x.abs()).all())
    assert bool((attended * x >= 0).all())


def test_distillation_without_residuals_adds_no_step_to_the_next(x: Tensor) -> None:
    def block(residual: bool) -> FeatureDistillation:
        torch.manual_seed(0)
        return FeatureDistillation(
            distill=[conv(6, 2, 1)],
            refine=[conv(6, 6)],
            last=conv(6, 2),
            fuse=nn.Identity(),
            attention=nn.Identity(),
            activation=nn.Identity(),
            residual=residual,
        )

    plain, residual = block(False), block(True)
    with torch.inference_mode():
        distilled, last = plain(x).split(2, dim=1)
        torch.testing.assert_close(last, plain.last(plain.refine(x)))
        torch.testing.assert_close(distilled, plain.distill(x))
        torch.testing.assert_close(residual(x)[:, 2:], residual.last(residual.refine(x) + x))


def test_a_trunk_runs_rows_part_by_part_with_the_same_result(x: Tensor) -> None:
    blocks = nn.Sequential(nn.Sequential(conv(6, 6), nn.ReLU()), conv(6, 6))
    trunk = ChainedTrunk(head=conv(6, 6), blocks=blocks, after_blocks=conv(6, 6), upsampler=nn.PixelShuffle(1))
    with torch.inference_mode():
        shallow = trunk.head(x)
        torch.testing.assert_close(trunk(x), trunk.after_blocks(blocks(shallow)) + shallow)
