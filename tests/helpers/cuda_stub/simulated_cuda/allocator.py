"""Device memory, counted from the tensors that live there."""

import weakref

import torch

_SEGMENT = 2**21
"""Bytes in which memory is reserved, as torch's caching allocator does for small tensors."""


class Allocator:
    """Bytes of one device's live tensors, and of the memory reserved for them."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._sizes: dict[int, int] = {}
        self.allocated = self.peak = self.reserved = self.peak_reserved = 0

    def holds(self, tensor: torch.Tensor) -> bool:
        """True if the tensor, or what it is a view of, was made on this device."""
        return tensor.layout is torch.strided and tensor.untyped_storage()._cdata in self._sizes

    def add(self, tensor: torch.Tensor) -> None:
        """Counts a tensor's storage until nothing refers to it any more.

        Raises:
            torch.OutOfMemoryError: It does not fit beside what is there.
        """
        if self.holds(tensor):
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if self.allocated + size > self.limit:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB. "
                f"GPU 0 has a total capacity of {self.limit / 2**20:.2f} MiB (simulated)."
            )
        self._sizes[key] = size
        self._count(size)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self._count(-self._sizes.pop(key))

    def _count(self, size: int) -> None:
        self.allocated += size
        self.peak = max(self.peak, self.allocated)
        self.reserved = max(self.reserved, _segments(self.allocated))
        self.peak_reserved = max(self.peak_reserved, self.reserved)

    def reset_peaks(self) -> None:
        """Begins a measurement of peaks."""
        self.peak, self.peak_reserved = self.allocated, self.reserved

    def empty_cache(self) -> None:
        """Gives back what is reserved and not in use."""
        self.reserved = _segments(self.allocated)


def _segments(size: int) -> int:
    return -(-size // _SEGMENT) * _SEGMENT
