"""Two variants of one network: which is faster, by how much, and how surely.

usage: python participant.py FIRST.yaml SECOND.yaml IMAGES [KEY=VALUE...]

IMAGES is a folder of HR images; KEY=VALUE are overrides as on esr's command line, such as timing=quick.
"""

import sys

import esr
from esr.errors import EsrError

if len(sys.argv) < 4:
    sys.exit((__doc__ or "").strip())
first, second, images, *settings = sys.argv[1:]

try:
    # The second beside the first, in one evaluation: their turns alternate, which gives the most precise ratio.
    pair = esr.evaluate(settings, model=second, baseline=first, data=images, out="variants")
    # And beside the challenge's baseline, for a figure that others can compare with.
    placed = esr.evaluate(settings, model=second, data=images, out="placed")
except EsrError as error:
    sys.exit(str(error))

for record in (pair, placed):
    if record.failed or record.ratio is None:
        sys.exit(f"{record}: {', '.join(record.failed)} failed")
    ratio = record.ratio
    interval = f"{ratio.low:.3f} to {ratio.high:.3f}" if ratio.low is not None else "fewer than six rounds"
    sure = ratio.low is not None and not ratio.low <= 1 <= ratio.high
    word = ("faster" if ratio.value < 1 else "slower") if sure else "not shown to differ in speed"
    print(f"{record.candidate.name} beside {record.baseline.name}: ratio {ratio.value:.3f} ({interval}), {word}")
    print(f"  {record.verdict.status}{''.join(f'; {reason.reason}' for reason in record.verdict.reasons)}")
