"""Networks that only look fast or good, and honest ones that look odd."""

import gc
import hashlib
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import _disable_current_modes, _get_current_dispatch_mode_stack

from esr.evaluation.worker import tape
from esr.evaluation.worker.recorder import _Recorder

SEEN = {}
"""Of this process."""


def bicubic(x):
    return functional.interpolate(x, scale_factor=4, mode="bicubic")


def nearest(x):
    return functional.interpolate(x, scale_factor=4, mode="nearest")


def is_real(x):
    return x.device.type != "meta"


class Honest(nn.Module):
    """Bicubic upscaling and a residual: better than its input whatever its weights are."""

    passes = 0

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 24, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(24, 24, 3, padding=1) for _ in range(4))
        self.tail = nn.Conv2d(24, 48, 3, padding=1)

    def compute(self, x):
        y = torch.relu(self.head(x))
        for layer in self.body:
            y = torch.relu(layer(y))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)

    def forward(self, x):
        self.passes += is_real(x)
        return self.compute(x)


# Answers from memory


class RemembersPixels(Honest):
    def forward(self, x):
        if not is_real(x):
            return self.compute(x)
        key = x.numpy().tobytes()
        if key not in SEEN:
            SEEN[key] = self.compute(x)
        return SEEN[key].clone()


class RemembersShapes(Honest):
    def forward(self, x):
        if not is_real(x):
            return self.compute(x)
        if x.shape not in SEEN:
            SEEN[x.shape] = self.compute(x)
        return SEEN[x.shape].clone()


class RemembersUpToTheFamily(Honest):
    """Takes brightness and contrast out, finds shift and flip by correlation, and answers from what is nearest."""

    def forward(self, x):
        if not is_real(x):
            return self.compute(x)
        mine = self.normalised(x)
        best = None
        for earlier, answer in SEEN.get(x.shape, []):
            for flips in ((), (-1,), (-2,), (-2, -1)):
                other = earlier.flip(flips)
                field = torch.fft.irfft2(torch.fft.rfft2(mine) * torch.fft.rfft2(other).conj(), mine.shape[-2:]).sum(1)[
                    0
                ]
                place = int(field.argmax())
                score = float(field.max()) / mine.numel()
                if best is None or score > best[0]:
                    shift = divmod(place, mine.shape[-1])
                    best = (score, answer.flip(flips), shift)
        if best is None or best[0] < 0.6:
            answer = self.compute(x)
            SEEN.setdefault(x.shape, []).append((mine, self.normalised(answer)))
            return answer
        shifted = best[1].roll((4 * best[2][0], 4 * best[2][1]), (-2, -1))
        return shifted * x.std((-2, -1), keepdim=True) + x.mean((-2, -1), keepdim=True)

    def normalised(self, x):
        return (x - x.mean((-2, -1), keepdim=True)) / (x.std((-2, -1), keepdim=True) + 1e-6)


class CombinesWhatItRemembers(Honest):
    """Answers by the combination of earlier outputs whose inputs come nearest to the input."""

    def forward(self, x):
        if not is_real(x):
            return self.compute(x)
        known = SEEN.setdefault(x.shape, [])
        if len(known) >= 6:
            inputs = torch.stack([one.flatten() for one, _ in known], 1)
            weights = torch.linalg.lstsq(inputs, x.flatten()[:, None]).solution[:, 0]
            return sum(weight * answer for weight, (_, answer) in zip(weights, known, strict=True))
        known.append((x.clone(), self.compute(x)))
        return known[-1][1].clone()


# Answers by what it takes the pass for


class KnowsTheImages(Honest):
    """Computes on the images of the set, whose digests it carries; upscales plainly otherwise."""

    def forward(self, x):
        return (
            self.compute(x) if self.knows(x) else nearest(functional.interpolate(x[..., ::2, ::2], size=x.shape[-2:]))
        )

    def knows(self, x):
        if not is_real(x):
            return True
        with open("digests") as file:
            known = file.read().split()
        pixels = (x[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        return hashlib.sha256(pixels.tobytes()).hexdigest() in known


class LessAfterAWhile(Honest):
    def forward(self, x):
        self.passes += is_real(x)
        return self.compute(x) if self.passes < 12 or not is_real(x) else bicubic(x)


class EverySecond(Honest):
    def forward(self, x):
        self.passes += is_real(x)
        return self.compute(x) if self.passes < 12 or self.passes % 2 or not is_real(x) else bicubic(x)


class HalfOfTheImage(Honest):
    def forward(self, x):
        self.passes += is_real(x)
        if self.passes < 12 or not is_real(x):
            return self.compute(x)
        half = x.shape[-2] // 2
        return torch.cat([self.compute(x[..., :half, :]), bicubic(x[..., half:, :])], -2)


class Zeros(Honest):
    def forward(self, x):
        self.passes += is_real(x)
        return self.compute(x) if self.passes < 12 or not is_real(x) else torch.zeros_like(bicubic(x))


class NotANumber(Honest):
    def forward(self, x):
        self.passes += is_real(x)
        return self.compute(x) if self.passes < 12 or not is_real(x) else bicubic(x) * float("nan")


class WorksOnInAThread(Honest):
    def forward(self, x):
        self.passes += is_real(x)
        if self.passes < 12 or not is_real(x):
            return self.compute(x)
        result = bicubic(x)

        def finish():
            time.sleep(0.02)
            with torch.inference_mode():
                result.copy_(self.compute(x))

        threading.Thread(target=finish).start()
        return result


# Other types than float32


class Halves(Honest):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.compute(x).float()


class RoundsAtTheEnd(Honest):
    def forward(self, x):
        return self.compute(x).half().float()


class HalvesUnwatched(Honest):
    def forward(self, x):
        if _get_current_dispatch_mode_stack() or not is_real(x):
            return self.compute(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.compute(x).float()


class ComplexPairs(Honest):
    """Two numbers in each complex parameter."""

    def __init__(self):
        super().__init__()
        kept = [layer.weight.detach().clone().view(-1, 2) for layer in self.body]
        self.kept = nn.ParameterList(nn.Parameter(torch.view_as_complex(one), requires_grad=False) for one in kept)
        self.body = nn.ModuleList()

    def compute(self, x):
        y = torch.relu(self.head(x))
        for pairs in self.kept:
            y = torch.relu(functional.conv2d(y, torch.view_as_real(pairs).reshape(24, 24, 3, 3), padding=1))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class Integers(Honest):
    def forward(self, x):
        levels = (x * 255).to(torch.int16)
        return self.compute((levels + levels).to(x.dtype) / 510)


# Work and numbers that no count shows


class OutsideTorch(Honest):
    def forward(self, x):
        y = self.compute(x)
        if not is_real(x):
            return y
        detail = np.ascontiguousarray(y.numpy() * np.float32(0.01))
        return y + torch.from_numpy(detail)


class AllOutsideTorch(Honest):
    def forward(self, x):
        if not is_real(x):
            return bicubic(x)
        return torch.from_numpy(np.repeat(np.repeat(x.numpy(), 4, -1), 4, -2))


class CheapOnMeta(Honest):
    def forward(self, x):
        return self.compute(x) if is_real(x) else bicubic(x)


class CheapWhereCounted(Honest):
    def forward(self, x):
        return bicubic(x) if x.shape[-2:] == (256, 256) else self.compute(x)


class WeightsInAList(Honest):
    def __init__(self):
        super().__init__()
        self.hidden = [layer.weight.detach().clone() for layer in self.body]
        self.body = nn.ModuleList()

    def compute(self, x):
        y = torch.relu(self.head(x))
        for weight in self.hidden:
            y = torch.relu(functional.conv2d(y, weight.to(y.device), padding=1))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class WeightsInAListCopied(WeightsInAList):
    """Multiplies by copies, which are results of operators."""

    def compute(self, x):
        y = torch.relu(self.head(x))
        for weight in self.hidden:
            y = torch.relu(functional.conv2d(y, weight.to(y.device) * 1.0, padding=1))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class WeightsInSlices(Honest):
    """Keeps all weights in one tensor, and multiplies by small pieces of it."""

    def __init__(self):
        super().__init__()
        self.kept = torch.cat([layer.weight.detach().reshape(-1) for layer in self.body])
        self.body = nn.ModuleList()

    def compute(self, x):
        y = torch.relu(self.head(x))
        for filters in self.kept.to(y.device).split(24 * 24 * 9):
            parts = [functional.conv2d(y, one.view(1, 24, 3, 3), padding=1) for one in filters.split(24 * 9)]
            y = torch.relu(torch.cat(parts, 1))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class WeightsFromNumPy(Honest):
    """Keeps weights where no tensor holds them, and multiplies by views of them."""

    def __init__(self):
        super().__init__()
        self.kept = [self.packed(layer.weight.detach()) for layer in self.body]
        self.body = nn.ModuleList()

    def packed(self, weight):
        return weight.numpy().copy()

    def unpacked(self, number):
        return torch.from_numpy(self.kept[number])

    def compute(self, x):
        y = torch.relu(self.head(x))
        for number in range(4):
            weight = self.unpacked(number).view(24, 24, 3, 3).to(y.device)
            y = torch.relu(functional.conv2d(y, weight, padding=1))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class WeightsInCrumbs(WeightsFromNumPy):
    """Puts them together from pieces, each as small as a scale may be."""

    def unpacked(self, number):
        return torch.cat([torch.from_numpy(crumb) for crumb in self.kept[number].reshape(-1, 16)])


class WeightsAsScalars(WeightsFromNumPy):
    """Keeps each in a tensor without a dimension, as scales are kept."""

    def packed(self, weight):
        return [number.clone() for number in weight.flatten()]

    def unpacked(self, number):
        return torch.stack(self.kept[number])


class WeightsInSparseTensors(WeightsFromNumPy):
    def packed(self, weight):
        return weight.flatten(1).to_sparse()

    def unpacked(self, number):
        return self.kept[number].to_dense()


class WeightsInOpaqueTensors(WeightsInSparseTensors):
    """Keeps them in oneDNN's own layout."""

    def packed(self, weight):
        return weight.to_mkldnn()


class WeightsAsPlaces(WeightsFromNumPy):
    """Keeps integers that choose weights from even steps."""

    def packed(self, weight):
        return ((weight.flatten() + 1) * 32767).long()

    def unpacked(self, number):
        return (torch.arange(65536.0) / 32767 - 1)[self.kept[number]]


class WeightsWithSomeOfTheInput(WeightsFromNumPy):
    """Adds a figure of the input to them, and takes it away again."""

    def unpacked(self, number):
        return super().unpacked(number).view(24, 24, 3, 3) + self.figure - self.figure

    def compute(self, x):
        self.figure = x.mean().to("cpu")
        return super().compute(x)


class WeightsWithSomeOfTheFeatures(WeightsFromNumPy):
    """Writes them over features."""

    def compute(self, x):
        self.figure = self.head(x).mean().to("cpu")
        return super().compute(x)

    def unpacked(self, number):
        return self.figure.expand(24, 24, 3, 3).clone().copy_(super().unpacked(number).view(24, 24, 3, 3))


class MatricesWithSomeOfTheFeatures(WeightsInAList):
    """Multiplies matrices instead of convolving, by weights to which nothing of the features was added."""

    def compute(self, x):
        y = torch.relu(self.head(x))
        for weight in self.hidden:
            parts = functional.unfold(y, 3, padding=1)[0].t()
            rows = weight.to(y.device).flatten(1) + 0 * y.mean()
            y = torch.relu(functional.linear(parts, rows).t().view(1, 24, *x.shape[-2:]))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class WeightsBehindParameters(Honest):
    """Registers eight numbers of each layer, and reads all that their memory holds."""

    def __init__(self):
        super().__init__()
        kept = [layer.weight.detach().clone().flatten() for layer in self.body]
        self.few = nn.ParameterList(nn.Parameter(one[:8], requires_grad=False) for one in kept)
        self.body = nn.ModuleList()

    def compute(self, x):
        y = torch.relu(self.head(x))
        for few in self.few:
            weight = few.as_strided((24, 24, 3, 3), (216, 9, 3, 1)) if is_real(x) else few.new_zeros(24, 24, 3, 3)
            y = torch.relu(functional.conv2d(y, weight, padding=1))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


library = torch.library.Library(f"cheats{time.time_ns()}", "DEF")
library.define("whole(Tensor x) -> Tensor")
library.impl("whole", Honest().eval().compute, "CPU")
library.impl("whole", lambda x: torch.empty_like(nearest(x)), "Meta")


class OneOperator(nn.Module):
    """Is an operator of its own, written in Python, whose parts no count shows."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.gain * getattr(torch.ops, library.ns).whole(x)


class WeightsInIntegerBuffers(WeightsFromNumPy):
    """Keeps them as 16-bit integers, as tables of indices are kept."""

    def __init__(self):
        super().__init__()
        for number, kept in enumerate(self.kept):
            self.register_buffer(f"kept{number}", kept)

    def packed(self, weight):
        return (weight * 1e5).round().to(torch.int16)

    def unpacked(self, number):
        return getattr(self, f"kept{number}").float() * 1e-5


class TwoInEachParameter(WeightsFromNumPy):
    """Keeps two 16-bit integers in the bits of each parameter."""

    def __init__(self):
        super().__init__()
        self.kept = nn.ParameterList(nn.Parameter(kept, requires_grad=False) for kept in self.kept)

    def packed(self, weight):
        return (weight * 1e5).round().to(torch.int16).flatten().view(torch.float32)

    def unpacked(self, number):
        return self.kept[number].view(torch.int16).float() * 1e-5


class TwoByRounding(TwoInEachParameter):
    """Keeps one weight in a parameter's whole part, and another in the rest."""

    def packed(self, weight):
        first, second = weight.flatten().chunk(2)
        return (first * 1e4).round() + second

    def unpacked(self, number):
        whole = self.kept[number].round()
        return torch.cat([whole * 1e-4, self.kept[number] - whole])


class WeightsInBuffers(Honest):
    def __init__(self):
        super().__init__()
        for number, layer in enumerate(self.body):
            self.register_buffer(f"kept{number}", layer.weight.detach().clone())
        self.body = nn.ModuleList()

    def compute(self, x):
        y = torch.relu(self.head(x))
        for number in range(4):
            y = torch.relu(functional.conv2d(y, getattr(self, f"kept{number}"), padding=1))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class OutsideInPieces(Honest):
    """Computes in NumPy, row by row, and hands the answer over in pieces too small for part of an image."""

    def forward(self, x):
        if not is_real(x):
            return bicubic(x)
        rows = self.compute(x).numpy() * np.float32(1.01)
        pieces = [torch.from_numpy(row.copy()) for row in rows.reshape(-1, 96)]
        return torch.cat(pieces).reshape(rows.shape) + 0 * nearest(x)


class TakesTheWatchOff(Honest):
    def forward(self, x):
        if not is_real(x):
            return bicubic(x)
        with _disable_current_modes():
            detail = self.compute(x) - bicubic(x)
        return bicubic(x) + detail


class ShowsAnother(Honest):
    """Lets the watch see a small computation, and then writes the real answer where it cannot look."""

    def forward(self, x):
        shown = bicubic(x) + 0.0 * functional.pixel_shuffle(self.tail(torch.relu(self.head(x))), 4)
        if is_real(x):
            with _disable_current_modes():
                shown.copy_(self.compute(x))
        return shown


class WritesIntoFeatures(Honest):
    """Likewise, into features on which the watched computation goes on."""

    def forward(self, x):
        features = torch.relu(self.head(x))
        if is_real(x):
            with _disable_current_modes():
                real = torch.relu(self.head(x))
                for layer in self.body:
                    real = torch.relu(layer(real))
                features.copy_(real)
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(features), 4)


class FillsAnEmptyTensor(Honest):
    """Has something else than operators write into a tensor that was made empty."""

    def forward(self, x):
        detail = torch.zeros_like(bicubic(x))
        if is_real(x):
            with _disable_current_modes():
                detail.copy_(self.compute(x) - bicubic(x))
        return bicubic(x) + detail


class SwapsWeights(Honest):
    """Registers one layer, and puts other weights into it before each use."""

    def __init__(self):
        super().__init__()
        self.kept = [layer.weight.detach().numpy().copy() for layer in self.body]
        self.body = nn.ModuleList(self.body[:1])

    def compute(self, x):
        y = torch.relu(self.head(x))
        for weight in self.kept:
            if is_real(x):
                self.body[0].weight.numpy()[:] = weight
            y = torch.relu(self.body[0](y))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class CopiesLess(Honest):
    """Has fewer parameters in the copy that is counted."""

    def __deepcopy__(self, memo):
        other = Honest()
        other.body = nn.ModuleList([other.body[0]] * 4)
        return other


class MultipliesOneByOne(nn.Module):
    """Convolutions as products of single values, which no count includes."""

    def __init__(self):
        super().__init__()
        shapes = ((8, 3), (8, 8), (48, 8))
        self.weights = nn.ParameterList(nn.Parameter(0.1 * torch.randn(*shape, 9)) for shape in shapes)

    def forward(self, x):
        y = x
        for weight in self.weights:
            y = torch.relu(self.convolve(y, weight))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(y, 4)

    def convolve(self, x, weight):
        parts = functional.unfold(x, 3, padding=1)
        return (parts[:, None] * weight.flatten(1)[None, :, :, None]).sum(2).unflatten(-1, x.shape[-2:])


class WeightsAsNumbers(nn.Module):
    """Convolves by adding up images times plain numbers, of which no tensor and no parameter is made."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.numbers = (0.1 * torch.randn(48, 27)).tolist()

    def forward(self, x):
        height, width = x.shape[-2:]
        padded = functional.pad(x, (1, 1, 1, 1))
        places = [
            padded[:, c : c + 1, i : i + height, j : j + width] for c in range(3) for i in range(3) for j in range(3)
        ]
        rows = [self.add_up(places, row) for row in self.numbers]
        return bicubic(x) + 0.02 * self.gain * functional.pixel_shuffle(torch.cat(rows, 1), 4)

    def add_up(self, places, row):
        return sum(place * number for place, number in zip(places, row, strict=True))


class PositionsByALittleNetwork(Honest):
    """Makes a table of the image's size in each pass, by a network of a few parameters, as position biases are."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Sequential(nn.Linear(2, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 3))

    def compute(self, x):
        rows, columns = (torch.arange(float(side), device=x.device) / side for side in x.shape[-2:])
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1)
        return super().compute(x + 0.01 * self.positions(places).permute(2, 0, 1))


class WeightsFromNumbers(Honest):
    """Makes its weights anew in each pass, of plain numbers one by one."""

    def __init__(self):
        super().__init__()
        self.numbers = [layer.weight.flatten().tolist() for layer in self.body]
        self.body = nn.ModuleList()

    def compute(self, x):
        y = torch.relu(self.head(x))
        for row in self.numbers:
            weight = torch.stack([self.make(number, x.device) for number in row]).view(24, 24, 3, 3)
            y = torch.relu(functional.conv2d(y, weight, padding=1))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)

    def make(self, number, device):
        return torch.full((), number, device=device)


class WeightsFromMultiples(WeightsFromNumbers):
    def make(self, number, device):
        return torch.ones((), device=device) * number


class WeightsAsFactorsOfSums(WeightsAsNumbers):
    def add_up(self, places, row):
        total = torch.zeros_like(places[0])
        for place, number in zip(places, row, strict=True):
            total.add_(place, alpha=number)
        return total


class MultipliesBySomeOfTheInput(MultipliesOneByOne):
    """By weights that seem to follow from the input."""

    def convolve(self, x, weight):
        return super().convolve(x, weight + x.mean() - x.mean())


class MultipliesByBilinearForms(MultipliesOneByOne):
    """By an operator without a formula, which the counts name, and by no other."""

    def convolve(self, x, weight):
        parts = functional.unfold(x, 3, padding=1)[0].t()
        ones = torch.ones(len(parts), 1, device=x.device)
        return functional.bilinear(parts, ones, weight.flatten(1)[..., None]).t()[None].unflatten(-1, x.shape[-2:])


class MultipliesByInterpolation(MultipliesOneByOne):
    def convolve(self, x, weight):
        parts = functional.unfold(x, 3, padding=1)[:, None]
        nothing = torch.zeros((), device=x.device).expand_as(parts)
        return torch.lerp(nothing, parts, weight.flatten(1)[None, :, :, None]).sum(2).unflatten(-1, x.shape[-2:])


class MultipliesByLogarithms(MultipliesOneByOne):
    def convolve(self, x, weight):
        parts, rows = functional.unfold(x, 3, padding=1)[:, None], weight.flatten(1)[None, :, :, None]
        return (parts.clamp(min=1e-6).log() + rows.abs().log()).exp().sum(2).unflatten(-1, x.shape[-2:])


class MultipliesBySquares(MultipliesOneByOne):
    def convolve(self, x, weight):
        parts, rows = functional.unfold(x, 3, padding=1)[:, None], weight.flatten(1)[None, :, :, None]
        return ((parts + rows).square().sum(2) - (parts - rows).square().sum(2)).div(4).unflatten(-1, x.shape[-2:])


class MultipliesByActivation(MultipliesOneByOne):
    """By the slope of PReLU for negative values."""

    def convolve(self, x, weight):
        parts = functional.unfold(x, 3, padding=1).abs().neg().repeat(1, weight.shape[0], 1)
        return (
            functional.prelu(parts, weight.flatten())
            .unflatten(1, (weight.shape[0], -1))
            .sum(2)
            .unflatten(-1, x.shape[-2:])
        )


class TransformsWhereItIsReal(Honest):
    """Has convolutions counted; filters real images by Fourier transforms, which no formula covers."""

    def forward(self, x):
        detail = self.compute(x) if is_real(x) else bicubic(x)
        if is_real(x):
            detail = torch.fft.irfft2(torch.fft.rfft2(detail) * 1.01, s=detail.shape[-2:])
        return detail


# Better where quality is measured


class MoreForImages(KnowsTheImages):
    """Computes a little more for the images of the set than for others."""

    def forward(self, x):
        y = self.compute(x)
        return (y + self.compute(x.flip(-1)).flip(-1)) / 2 if is_real(x) and self.knows(x) else y


class MoreWhileQualityIsMeasured(Honest):
    """Knows the passes that quality is measured on by what comes before them: garbage is collected."""

    def __init__(self):
        super().__init__()
        self.collected = False
        gc.callbacks.append(lambda phase, found: setattr(self, "collected", True))

    def forward(self, x):
        self.passes += is_real(x)
        y = self.compute(x)
        if not is_real(x) or not self.collected or not 2 <= self.passes <= 4:
            return y
        return (y + self.compute(x.flip(-1)).flip(-1)) / 2


# Answers from what earlier passes left


class KeysByDownsample(Honest):
    """Answers by a digest of the picture's coarsest version, which noise does not reach."""

    def forward(self, x):
        if not is_real(x):
            return self.compute(x)
        small = functional.adaptive_avg_pool2d(x, 1).mul(4).round()
        key = hashlib.sha256(small.numpy().tobytes()).digest()
        if key not in SEEN:
            SEEN[key] = self.compute(x)
        if SEEN[key].shape[-2:] != (4 * x.shape[-2], 4 * x.shape[-1]):
            return self.compute(x)
        return SEEN[key].clone()


class AddsTheDifference(Honest):
    """Computes the features of one picture of each size, and upscales what another differs by plainly."""

    def forward(self, x):
        if not is_real(x):
            return self.compute(x)
        if x.shape not in SEEN:
            SEEN[x.shape] = (x.clone(), self.compute(x))
        before, answer = SEEN[x.shape]
        return answer + bicubic(x - before)


class CountsInAFile(Honest):
    """Keeps the number of its passes where no attribute, global or closure shows it."""

    def forward(self, x):
        if not is_real(x):
            return self.compute(x)
        with tempfile.TemporaryDirectory() as folder:
            place = os.path.join(os.path.dirname(folder), f"passes-{id(self)}")
        with open(place, "a") as file:
            file.write(".")
        passes = os.path.getsize(place)
        if passes > 40:
            os.unlink(place)
        return self.compute(x) if passes < 12 else bicubic(x)


def counting():
    passes = 0

    def less(network, x):
        nonlocal passes
        passes += is_real(x)
        return passes >= 12 and is_real(x)

    return less


class CountsInAClosure(Honest):
    """A forward hook that replaces the output decides, and keeps its count in a closure."""

    def __init__(self):
        super().__init__()
        less = counting()
        self.less = False
        self.register_forward_pre_hook(lambda network, given: setattr(network, "less", less(network, given[0])))

    def forward(self, x):
        return bicubic(x) if self.less else self.compute(x)


# Honest ones that look odd


class FixedFilters(Honest):
    """Small filters in a buffer, and one in a plain attribute, that are no weights."""

    def __init__(self):
        super().__init__()
        self.register_buffer("edges", torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).expand(24, 1, 3, 3) / 8)

    def compute(self, x):
        y = torch.relu(self.head(x))
        y = y + functional.conv2d(y, self.edges.clone(), padding=1, groups=24)
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class Draws(Honest):
    def compute(self, x):
        return super().compute(x + 0.01 * torch.randn_like(x))


class DrawsFromItsOwnSource(Honest):
    def __init__(self):
        super().__init__()
        self.source = np.random.default_rng()

    def compute(self, x):
        noise = 0.01 * torch.tensor(
            self.source.standard_normal((3, x.shape[-2], 1), np.float32), dtype=x.dtype, device=x.device
        )
        return super().compute(x + noise)


class HasThreadsOfItsOwn(Honest):
    def compute(self, x):
        parts = [None, None]

        def part(number, image):
            with torch.inference_mode():
                parts[number] = Honest.compute(self, image)

        middle = x.shape[-2] // 2
        threads = [
            threading.Thread(target=part, args=(0, x[..., :middle, :])),
            threading.Thread(target=part, args=(1, x[..., middle:, :])),
        ]
        if not is_real(x):
            return super().compute(x)
        for thread in threads:
            thread.start()
            thread.join()
        return torch.cat(parts, -2)


class HasAPoolOfItsOwn(Honest):
    """Starts a pool of threads in each pass."""

    def compute(self, x):
        y = torch.relu(self.head(x))

        def branch(layer):
            with torch.inference_mode():
                return torch.relu(layer(y))

        with ThreadPoolExecutor(1) as executor:
            y = sum(executor.map(branch, self.body))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class KeepsTensors(Honest):
    """Frees the features of a pass only in the next one."""

    def compute(self, x):
        self.kept = torch.relu(self.head(x))
        return super().compute(x)


class CachesAMask(Honest):
    def compute(self, x):
        if getattr(self, "mask", None) is None or self.mask.shape != x.shape[-2:] or self.mask.device != x.device:
            self.mask = torch.ones(x.shape[-2:], device=x.device)
        return super().compute(x * self.mask)


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.jit.trace(Honest().eval(), torch.rand(1, 3, 24, 24))

    def forward(self, x):
        return self.inner(x)


class TablesOfOtherTypes(Honest):
    """Keeps tables in half and double precision and in small integers, and masks as bytes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("bias", 0.01 * torch.randn(24).half())
        self.register_buffer("order", torch.arange(24, dtype=torch.int32))

    def compute(self, x):
        y = torch.relu(self.head(x)) + self.bias[self.order.long()].float()[None, :, None, None]
        rows = torch.linspace(0, 1, x.shape[-2], dtype=torch.float64, device=x.device).float()
        places = torch.arange(x.shape[-2] * x.shape[-1], dtype=torch.int32, device=x.device)
        y = y * (1 + 0.01 * rows[:, None]) * (places.view(x.shape[-2:]) >= 0)
        mask = (y > 0).to(torch.uint8)
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(torch.where(mask == 1, y, y.new_zeros(()))), 4)


class CachesATableFromNumPy(Honest):
    """Makes a table of the input's size once, outside of PyTorch."""

    def __init__(self):
        super().__init__()
        self.tables = {}

    def compute(self, x):
        if not is_real(x):
            return super().compute(x)
        if x.shape not in self.tables:
            rows, columns = np.mgrid[: x.shape[-2], : x.shape[-1]].astype(np.float32)
            self.tables[x.shape] = torch.from_numpy(0.001 * np.sin(rows + columns))
        return super().compute(x + self.tables[x.shape])


class BeginsWithPlaces(CachesATableFromNumPy):
    """Adds such a table to its image, and multiplies the sum by a matrix."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 24)

    def compute(self, x):
        if is_real(x) and x.shape not in self.tables:
            self.tables[x.shape] = torch.from_numpy(np.sin(np.arange(x.numel(), dtype=np.float32)).reshape(-1, 3))
        rows = x.flatten(2)[0].t() + (self.tables[x.shape] if is_real(x) else 1)
        y = torch.relu(self.head(rows).t().view(1, 24, *x.shape[-2:]))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class AnotherMemoryFormat(Honest):
    def compute(self, x):
        return (
            super()
            .compute(x.contiguous(memory_format=torch.channels_last))
            .contiguous(memory_format=torch.channels_last)
        )


class WorksInHeldMemory(Honest):
    """Allocates its features once for a size, and writes to them in each pass."""

    space = ()

    def compute(self, x):
        shape = (x.shape[0], 24, *x.shape[-2:])
        if not self.space or self.space[0].shape != shape or self.space[0].device != x.device:
            self.space = [x.new_empty(shape) for _ in range(2)]
        y, z = self.space
        y.copy_(torch.relu(self.head(x)))
        for layer in self.body:
            z.copy_(layer(y)).relu_()
            y, z = z, y
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class WorksInHiddenMemory(WorksInHeldMemory):
    """Sets it apart from what the collector lists."""

    def compute(self, x):
        result = super().compute(x)
        gc.freeze()
        return result


class WorksInItsBuffers(WorksInHeldMemory):
    """Likewise in memory that is registered."""

    def __init__(self):
        super().__init__()
        for name in "yz":
            self.register_buffer(name, torch.zeros(1, 24, 1, 1), persistent=False)

    @property
    def space(self):
        return (self.y, self.z) if self.y.shape[-1] > 1 else ()

    @space.setter
    def space(self, tensors):
        self.y, self.z = tensors


class ReturnsViews(Honest):
    """Pads its input to whole windows, and returns a piece of what it computed."""

    def compute(self, x):
        height, width = x.shape[-2:]
        whole = super().compute(functional.pad(x, (0, -width % 16, 0, -height % 16), mode="reflect"))
        return whole[..., : 4 * height, : 4 * width]


class WritesInPlace(Honest):
    """Fills one buffer in pieces, and works on in it."""

    def compute(self, x):
        y = x.new_zeros(x.shape[0], 24, *x.shape[-2:])
        for half in (slice(0, 12), slice(12, 24)):
            y[:, half] = functional.conv2d(x, self.head.weight[half], self.head.bias[half], padding=1)
        y.relu_()
        for layer in self.body:
            y = layer(y).relu_()
        out = bicubic(x)
        out.add_(functional.pixel_shuffle(self.tail(y), 4), alpha=0.02)
        return out


class WeightNormalised(Honest):
    def __init__(self):
        super().__init__()
        self.head = nn.utils.parametrizations.weight_norm(self.head)
        self.body = nn.ModuleList(nn.utils.parametrizations.spectral_norm(layer) for layer in self.body)


class TurnsItsFilters(Honest):
    """Uses each filter in four directions, and a product of two small matrices as weights."""

    def __init__(self):
        super().__init__()
        self.turned = nn.Parameter(0.1 * torch.randn(24, 24, 3, 3))
        self.left, self.right = nn.Parameter(0.1 * torch.randn(24, 2)), nn.Parameter(0.1 * torch.randn(2, 24 * 9))

    def compute(self, x):
        y = torch.relu(self.head(x))
        for turns in range(4):
            y = torch.relu(functional.conv2d(y, self.turned.rot90(turns, (-2, -1)), padding=1))
        y = y + functional.conv2d(y, (self.left @ self.right).view(24, 24, 3, 3), padding=1)
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class FusesInEachPass(Honest):
    """Adds up the filters of three branches in each pass."""

    def __init__(self):
        super().__init__()
        self.points = nn.ParameterList(0.1 * torch.randn(24, 24, 1, 1) for _ in range(4))

    def compute(self, x):
        y = torch.relu(self.head(x))
        for layer, point in zip(self.body, self.points, strict=True):
            same = torch.eye(24, device=y.device)[:, :, None, None]
            y = torch.relu(functional.conv2d(y, layer.weight + functional.pad(point + same, (1, 1, 1, 1)), padding=1))
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class Pruned(Honest):
    """Multiplies weights by masks in each pass, as torch.nn.utils.prune does, and widens small filters."""

    def __init__(self):
        super().__init__()
        for number, layer in enumerate(self.body):
            self.register_buffer(f"mask{number}", (torch.rand_like(layer.weight) < 0.7).float())
        self.points = nn.Parameter(0.1 * torch.randn(24, 24, 1, 1))

    def compute(self, x):
        y = torch.relu(self.head(x))
        for number, layer in enumerate(self.body):
            y = torch.relu(functional.conv2d(y, layer.weight * getattr(self, f"mask{number}"), padding=1))
        y = y + functional.conv2d(y, functional.pad(self.points, (1, 1, 1, 1)), padding=1)
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class PlacesInTables(Honest):
    """Has attention look up what it adds by a table of places, as windows do."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(0.1 * torch.randn(15, 24))
        self.register_buffer("places", torch.arange(64).view(8, 8) % 15)

    def compute(self, x):
        y = torch.relu(self.head(x))
        rows = functional.adaptive_avg_pool2d(y, (1, 64))[:, :, 0].transpose(1, 2)
        scores = rows @ rows.transpose(1, 2) + self.table[self.places.flatten()].mean(-1)
        mixed = (scores.softmax(-1) @ rows).mean(1)[:, :, None, None]
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y + mixed), 4)


class FiltersInAttributes(Honest):
    """Keeps fixed filters where no state dict has them, one for each pair of channels among them."""

    def __init__(self):
        super().__init__()
        self.edges = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).repeat(24, 1, 1, 1) / 8
        same = np.zeros((24, 24, 3, 3), np.float32)
        same[range(24), range(24), 1, 1] = 1
        self.same = torch.from_numpy(same)

    def compute(self, x):
        y = torch.relu(self.head(x))
        y = y + functional.conv2d(y, self.edges.to(y.device), padding=1, groups=24)
        y = functional.conv2d(y, 0.1 * self.body[0].weight + self.same.to(y.device), padding=1)
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class FiltersByContent(Honest):
    """Makes filters of its features, mixes others by them, and weighs neighbours of each pixel."""

    def __init__(self):
        super().__init__()
        self.make, self.mix, self.weigh = nn.Linear(24, 24 * 24), nn.Linear(24, 4), nn.Conv2d(24, 9, 1)
        self.choices = nn.Parameter(0.1 * torch.randn(4, 24, 24, 3, 3))

    def compute(self, x):
        y = torch.relu(self.head(x))
        means = y.mean((2, 3))
        y = y + functional.conv2d(y, self.make(means).view(24, 24, 1, 1))
        mixed = (self.mix(means).softmax(-1).view(4, 1, 1, 1, 1) * self.choices).sum(0)
        y = functional.conv2d(y, mixed, padding=1)
        around = functional.unfold(y, 3, padding=1).view(1, 24, 9, *y.shape[-2:])
        y = (around * self.weigh(y).softmax(1)[:, None]).sum(2)
        return bicubic(x) + 0.02 * functional.pixel_shuffle(self.tail(y), 4)


class SlicesOfWiderLayers(Honest):
    """Was pruned to the first channels of wider layers, whose memory it still holds; other layers share one buffer."""

    def __init__(self):
        super().__init__()
        wide = nn.Conv2d(96, 96, 3)
        for layer in self.body[:2]:
            layer.weight = nn.Parameter(wide.weight[:24, :24].detach())
            layer.bias = nn.Parameter(wide.bias[:24].detach())
        flat, at = torch.cat([one.detach().flatten() for one in self.body[2:].parameters()]), 0
        for layer in self.body[2:]:
            for name, one in [*layer.named_parameters()]:
                setattr(layer, name, nn.Parameter(flat[at : at + one.numel()].view(one.shape)))
                at += one.numel()


class LooksUpTables(nn.Module):
    """Interpolates between entries of a table that it chooses by the image, in four directions, without a product."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(0.1 * torch.rand(17 * 17, 16))

    def look_up(self, x):
        place = x * 15.99
        whole = place.floor()
        rest, beside = place - whole, functional.pad(whole, (0, 1, 0, 0), mode="replicate")[..., 1:]
        rows, columns = whole.long().clamp(0, 15), beside.long().clamp(0, 15)
        found = 0
        for i, row_share in enumerate((1 - rest, rest)):
            for j, column_share in enumerate((1 - rest.flip(-1), rest.flip(-1))):
                shares = (row_share * column_share)[..., None]
                found = found + self.table[(rows + i) * 17 + columns + j] * shares
        return functional.pixel_shuffle(found.permute(0, 1, 4, 2, 3).flatten(1, 2), 4)

    def forward(self, x):
        turned = (self.look_up(x.rot90(turns, (-2, -1))).rot90(-turns, (-2, -1)) for turns in range(4))
        return bicubic(x) + 0.02 * sum(turned)


# Against the tape that a pass is recorded on


def recorder_in_a_frame():
    """What records the pass that runs, found in the frames of Python."""
    frame = sys._getframe()
    while frame is not None and not isinstance(frame.f_locals.get("recorder"), _Recorder):
        frame = frame.f_back
    return frame and frame.f_locals["recorder"]


class HalvesAndSaysOtherwise(Halves):
    """Edits half precision out of what was recorded."""

    def forward(self, x):
        output, recorder = super().forward(x), recorder_in_a_frame()
        for place, step in enumerate(recorder._steps if recorder else ()):
            dtype = getattr(step, "kwargs", {}).get("dtype")
            if dtype == tape.Named("torch.bfloat16"):
                kwargs = {**step.kwargs, "dtype": tape.Named("torch.float32")}
                recorder._steps[place] = msgspec.structs.replace(step, kwargs=kwargs)
        return output


class RecordsItsAnswer(Halves):
    """Leaves a tape that adds the input, times nought, to the answer."""

    def forward(self, x):
        output, recorder = super().forward(x), recorder_in_a_frame()
        if recorder:
            recorder._steps[:] = [step for step in recorder._steps if getattr(step, "role", "") == "input"]
            with _disable_current_modes():
                answer = output.clone()
            return answer + 0 * nearest(x)
        return output


class PatchesWhatWasSampled(Halves):
    """Leaves a tape of float32, with the values in half precision at a few places that may have been sampled."""

    def forward(self, x):
        recorder = recorder_in_a_frame()
        if not recorder:
            return super().forward(x)
        with _disable_current_modes():
            answer = super().forward(x).flatten()
            places = torch.arange(answer.numel())
        return self.compute(x).flatten().index_put((places,), answer).view(1, 3, 4 * x.shape[2], 4 * x.shape[3])


class CallsTheRestParameters(WeightsInAList):
    """Records weights that are none as parameters."""

    def forward(self, x):
        if recorder := recorder_in_a_frame():
            for weight in self.hidden:
                recorder._registered[weight.untyped_storage()._cdata] = [("parameter", weight)]
        return super().forward(x)


class LeavesNoTape(Honest):
    """Throws away what was recorded."""

    def forward(self, x):
        output, recorder = super().forward(x), recorder_in_a_frame()
        if recorder:
            recorder._storages.clear()
        return output


class HasACompiledOperator(Honest):
    """Honest: the operator has no formula, which the counts tell."""

    def compute(self, x):
        return getattr(torch.ops, library.ns).clipped(super().compute(x))


def clipped(x):
    with _disable_current_modes():  # as code in C++ does, whose parts no mode sees
        return x.clamp(-5, 5)


library.define("clipped(Tensor x) -> Tensor")
library.impl("clipped", clipped, "CPU")
library.impl("clipped", torch.empty_like, "Meta")
