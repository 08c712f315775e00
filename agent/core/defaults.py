"""Defaults that both the engine and the settings use. Each number is written once, in the unit of its setting."""

from __future__ import annotations

from typing import Final

QUIET_MS: Final = 100
QUIET_MAX_MS: Final = 5000
POLL_WAIT_SECONDS: Final = 25
"""Also the longest wait that is asked of a server: proxies close requests that stay silent for 30 s."""
POLL_MIN_SECONDS: Final = 1
POLL_MAX_SECONDS: Final = 5
POLL_IDLE_SECONDS: Final = 30
POLL_IDLE_AFTER_MINUTES: Final = 10
FULL_LOOK_MINUTES: Final = 60
BRAKE_MIN: Final = 10
BRAKE_PERCENT: Final = 20
BRAKE_TOTAL: Final = 1000
BRAKE_WINDOW_MINUTES: Final = 60
