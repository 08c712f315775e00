# performance island: without it the index of a Raven server is larger by a third, and its writes cost more; the plain
# alternative is to store every revision as it is. Figures: tests/benchmarks (test_linked.py, a first link).
"""The stored form of a revision that is the hash of its content, as on a server without revisions of its own."""

from __future__ import annotations

from typing import Final

SAME: Final = "="
"""Stored in place of a revision that equals the hash beside it."""


def stored(rev: str | None, digest: str | None) -> str | None:
    """Return the form of a revision that is stored beside its hash."""
    return SAME if rev is not None and rev == digest else rev


def restored(kept: str | None, digest: str | None) -> str | None:
    """Return the revision from its stored form."""
    return digest if kept == SAME else kept
