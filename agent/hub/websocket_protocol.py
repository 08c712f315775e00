"""The choice of uvicorn's WebSocket protocol. Its library is imported with the first WebSocket."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

MAX_FRAME_BYTES = 65_536
"""Bytes of the longest frame that a client may send."""


def websocket_protocol() -> Any:
    """Return what makes uvicorn's protocol of one connection; "none" without the library for it: clients poll."""
    return "none" if find_spec("wsproto") is None else _make


def _make(**settings: Any) -> Any:
    from agent.hub.counted_websocket import CountedWebSocket

    return CountedWebSocket(**settings)
