"""The progress that ``status`` shows."""

from __future__ import annotations

from agent.api.methods.status import progress_of


def test_progress_counts_files_as_equally_large() -> None:
    """Without a download under way, only files that are done count."""
    shown = progress_of(done=3, left=1, seconds=6.0, bytes_left=100, arrived=0)
    assert (shown.files_done, shown.files_total) == (3, 4)
    assert (shown.bytes_done, shown.bytes_total, shown.eta_seconds) == (300, 400, 2.0)


def test_progress_counts_bytes_of_unfinished_downloads() -> None:
    """They are part of the total, and never more than what is left."""
    for arrived, bytes_done in ((40, 40), (100, 100), (120, 100)):
        shown = progress_of(done=0, left=1, seconds=0.0, bytes_left=100, arrived=arrived)
        assert (shown.bytes_done, shown.bytes_total, shown.eta_seconds) == (bytes_done, 100, None)
