"""Cases of a parametrised test, some of which are left to `make test-slow`."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def with_slow(cases: Iterable[Any], slow: Collection[Any]) -> list[Any]:
    """The cases; those with one of the slow values are marked, since they take long and others show the same."""
    marked = list(slow)  # values need not have a hash
    rows = (case if isinstance(case, tuple) else (case,) for case in cases)
    return [pytest.param(*row, marks=pytest.mark.slow if any(one in marked for one in row) else ()) for row in rows]
