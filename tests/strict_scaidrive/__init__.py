"""A ScaiDrive server in memory, built to the published documentation, with its traps by switch.

``StrictScaiDrive`` keeps everything in memory, uses no threads and no I/O, and is copied with ``snapshot``.
``ScaiDriveApi`` answers requests for it. ``DriveTraps`` switches on what the documentation leaves open or warns of.
"""

from strict_scaidrive.api import ScaiDriveApi
from strict_scaidrive.server import StrictScaiDrive
from strict_scaidrive.state import DriveTraps

__all__ = ["DriveTraps", "ScaiDriveApi", "StrictScaiDrive"]
