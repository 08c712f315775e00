"""The parts of ScaiDrive's dialect."""

from __future__ import annotations

from typing import Final

from agent.remotes.dialect_parts import Dialect
from agent.remotes.scaidrive.adapter import ScaiDriveRemote
from agent.remotes.scaidrive.profile import scaidrive_profile
from agent.remotes.scaidrive.tokens import renew

SCAIDRIVE: Final = Dialect(scaidrive_profile, lambda http, options: ScaiDriveRemote(http, options.books), renew)
