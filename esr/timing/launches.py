"""Time that the host needs to launch a pass: pure functions over measurements."""

from collections.abc import Sequence

from esr.records.network import Block
from esr.timing.samples import SampleColumns

BOUND = 0.9
"""Fraction of a pass's time on the GPU; where the launches take more, the GPU waited for them."""


def launch_bound(blocks: Sequence[Block], samples: SampleColumns) -> str | None:
    """Evidence that the GPU waited for the host, in most passes.

    A GPU that is the slower of the two still works when the host has launched everything; one that waited ends right
    after the last launch. A network that reads a result back in the middle of a pass makes the host wait, and looks the
    same.

    Args:
        blocks: Those that count.
        samples: Every timed pass.

    Returns:
        One line with the number of such passes; `None` if there are few, and on the CPU.
    """
    counted = {block.block for block in blocks}
    columns = zip(samples.block, samples.ms, samples.enqueue_ms, strict=True)
    shares = [enqueue / ms for block, ms, enqueue in columns if enqueue is not None and block in counted]
    bound = sum(share > BOUND for share in shares)
    if 2 * bound <= len(shares):
        return None
    return f"launches took over {BOUND * 100:.0f} % of the GPU's time in {bound} of {len(shares)} passes"
