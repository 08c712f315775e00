"""The plain dialect holds every promise of the port."""

from __future__ import annotations

from remotes.suite import promises

globals().update(promises(__name__))
