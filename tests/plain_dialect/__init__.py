"""A dialect that exists only in tests: files with ids and revisions, any bytes, moves, folders and upload sessions.

``PlainServer`` keeps everything in memory, uses no threads and no I/O, and is copied with ``snapshot``. ``PlainRemote``
is its adapter over the real HTTP client. ``Traps`` switches on what a real server may do and its clients must bear.
"""

from plain_dialect.adapter import PlainRemote, plain_profile
from plain_dialect.server import PlainServer
from plain_dialect.state import CHUNK, INLINE, Traps

__all__ = ["CHUNK", "INLINE", "PlainRemote", "PlainServer", "Traps", "plain_profile"]
