"""Quality of SR images in threads on the free cores, while the device works on the next image."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from esr.evaluation.inputs import Pair
from esr.evaluation.subject import Subject
from esr.images import quality
from esr.images.bicubic import bicubic_upscale
from esr.images.pixels import ImageArray
from esr.records.network import Quality

Found = TypeVar("Found")

_MOST_THREADS = 16
_AHEAD = 2
"""Images that are decoded before their turn."""


class Grading:
    """Threads that decode HR and compare SR with it; a context manager that ends with all figures known.

    OpenCV and NumPy release the interpreter's lock while they work. No clock may run while the block does: the threads
    keep every core busy.

    Args:
        pairs: The data set.
        border: Pixels cut at each side.
        bicubic: Receives dB of bicubic interpolation of each image.
    """

    def __init__(self, pairs: Sequence[Pair], border: int, bicubic: list[float]) -> None:
        self._pairs, self._border, self._bicubic = pairs, border, bicubic
        self._pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))
        self._decoded: dict[int, Future[ImageArray]] = {}
        self._graded: list[tuple[Subject, Future[Quality]]] = []
        self._compared: list[Future[float]] = []
        self._waiting: deque[Future[Any]] = deque()
        """Comparisons that hold an image."""

    def __enter__(self) -> "Grading":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for subject, found in self._graded:
                subject.quality.append(found.result())
            self._bicubic += [found.result() for found in self._compared]

    def hr(self, image: int) -> ImageArray | None:
        """HR of an image, decoded once; the next ones are decoded meanwhile. `None` without HR.

        Raises:
            DataError: The file has become unreadable.
        """
        if self._pairs[image].hr_file is None:
            return None
        for ahead in range(image, min(image + _AHEAD + 1, len(self._pairs))):
            if ahead not in self._decoded:
                self._decoded[ahead] = self._pool.submit(self._pairs[ahead].hr)
        found = self._decoded[image].result()
        del self._decoded[image]  # the image is freed as soon as nobody else holds it
        return found

    def grade(self, subject: Subject, sr: ImageArray, hr: ImageArray) -> None:
        """Compares one network's SR with HR."""
        self._graded.append((subject, self._submit(quality.measure, sr, hr, self._border)))

    def compare_bicubic(self, lr: ImageArray, hr: ImageArray) -> None:
        """Compares bicubic interpolation of LR with HR."""

        def compare() -> float:
            return quality.psnr(bicubic_upscale(lr), hr, self._border)

        self._compared.append(self._submit(compare))

    def _submit(self, work: Callable[..., Found], *arguments: object) -> Future[Found]:
        """Hands work to the threads; waits while they hold many images already."""
        while len(self._waiting) > _MOST_THREADS:
            self._waiting.popleft().exception()
        done = self._pool.submit(work, *arguments)
        self._waiting.append(done)
        return done
