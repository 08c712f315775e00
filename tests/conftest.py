"""What holds for every test."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest

from support.closing import close_all
from support.open_databases import watch_connections

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As for whatever a script starts in the background; every process under test would inherit it and hear no Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

watch_connections()


def pytest_collection_finish() -> None:
    """Leave all that was imported out of garbage collections, and collect less often: that is a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(autouse=True)
def _close_resources() -> Iterator[None]:
    """Close what helpers opened during the test."""
    yield
    close_all()
