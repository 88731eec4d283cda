"""Fixtures of the tests of records."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data():
    """Folder of records from history."""
    return Path(__file__).with_name("data")
