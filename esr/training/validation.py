"""Quality of the current weights on the validation images, by the metrics of an evaluation."""

from collections.abc import Sequence

import torch
from torch import nn

from esr.config.schema import SCALE
from esr.images import quality
from esr.networks import inference
from esr.records.network import Quality
from esr.training.data import TrainingPair


@torch.inference_mode()
def validate(network: nn.Module, pairs: Sequence[TrainingPair], data_range: float, device: torch.device) -> Quality:
    """Mean PSNR and SSIM over images, of 8-bit outputs without a border of 4 pixels.

    Raises:
        NetworkError: An output has the wrong shape or is not finite.
    """
    measured = []
    for pair in pairs:
        lr = inference.to_tensor(pair.lr, data_range, device)
        sr = inference.check_output(network(lr), lr)
        measured.append(quality.measure(inference.to_image(sr, data_range), pair.hr, SCALE))
    return quality.mean_quality(measured)
