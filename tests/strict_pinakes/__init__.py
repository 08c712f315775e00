"""A Pinakes server in memory, built to the guessed bodies, with its traps by switch.

``StrictPinakes`` keeps everything in memory, uses no threads and no I/O, and is copied with ``snapshot``.
``PinakesApi`` answers requests for it. ``PinTraps`` switches on what the known pages leave open.
"""

from strict_pinakes.api import PinakesApi
from strict_pinakes.server import StrictPinakes
from strict_pinakes.state import PinTraps

__all__ = ["PinTraps", "PinakesApi", "StrictPinakes"]
