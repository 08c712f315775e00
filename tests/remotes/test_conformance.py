"""Raven's adapter holds every promise of the port, over the strict server and over the hub."""

from __future__ import annotations

from remotes.suite import promises

globals().update(promises(__name__))
