"""What the recording did without noting it down, put back at its place before the replay reaches it.

Each preparation is known from what later recorded answers show of it (a source in a list, an event in a page, a
conflict in an event). Ids are the recorded ones; the replay translates them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_SENTINEL = "0" * 64
_UNKNOWN_BASE = "9" * 64


@dataclass(frozen=True, slots=True)
class Step:
    """One unrecorded call: its path below `/api/local-sync/`, its body, and the recorded ids its answer stands for.

    Attributes:
        binds: dotted path in the answer (`data.id`) -> the id the recording knows it by.
    """

    path: str
    body: Mapping[str, Any]
    binds: Mapping[str, str] = field(default_factory=dict)


def _source(source: str, connector: str, mode: str = "bidirectional") -> tuple[Step, ...]:
    body = {"name": "s", "mode": mode, "connectorId": connector, "includePatterns": ["**/*.md"], "excludePatterns": []}
    return (
        Step(_path("connectors/register"), {"name": "c", "platform": "linux"}, {"data.id": connector}),
        Step(_path("sources"), body, {"data.id": source}),
    )


def _push(source: str, path: str, content: str, base: str | None, operation: str) -> Step:
    digest = hashlib.sha256(content.encode()).hexdigest()
    item = {"operationId": operation, "relativePath": path, "content": content, "contentHash": digest}
    return Step(
        _path("sources/push-batch"),
        {"sourceId": source, "items": [item if base is None else {**item, "baseHash": base}]},
    )


def _path(endpoint: str) -> str:
    return f"/api/local-sync/{endpoint}"


def _conflicts(source: str, *recorded: str) -> Step:
    binds = {f"data.{index}.id": conflict for index, conflict in enumerate(recorded)}
    return Step(_path("sources/conflicts"), {"sourceId": source}, binds)


def _unnamed(number: int) -> str:
    """A stand-in for a connector whose recorded id appears nowhere in the recording."""
    return f"00000000-0000-4000-8000-{number:012d}"


_EXTRA = "01a1fd9c-a4bd-739a-baf5-203c6e7ac3ff"
_MERGES = "01a1fd9c-a59f-7712-b866-07e796927d26"
_A1 = hashlib.sha256(b"A1").hexdigest()

SETUP: Mapping[int, tuple[Step, ...]] = MappingProxyType(
    {
        125: _source("01a1fd56-f42e-771b-99a0-04aa548577b8", "01a1fd56-f429-7c4e-a976-a10205474179"),
        184: _source("01a1fd56-f589-71a2-a42f-c4fc503c2a0f", "01a1fd56-f585-74ee-ab6e-a3987b7145f7"),
        202: _source("01a1fd56-f5e3-747f-b6fe-ab3e0745e317", "01a1fd56-f5e0-75df-a032-9caac9ff7d71"),
        241: _source("01a1fd58-4194-7ccd-92b8-d94a3a15ca7e", _unnamed(1)),
        249: _source("01a1fd6d-2cee-752b-a707-12dbb29704c3", _unnamed(2)),
        266: _source("01a1fd6d-3543-7ff8-b613-1d1eaecf3377", _unnamed(3), "import_only"),
        268: _source("01a1fd6d-3566-7c08-abe0-2add2a256913", _unnamed(4), "local_to_cloud"),
        270: _source("01a1fd6d-3592-7804-a5dc-c6cb82ee0eb0", _unnamed(5)),
        272: _source(_EXTRA, "01a1fd9c-a4b1-7aa0-a202-8118c75723ae"),
        273: (_push(_EXTRA, "a.md", "A1", None, "f323b50c-8817-4c77-a122-dc1e855a0b96"),),
        275: (_push(_EXTRA, "a.md", "A3", _A1, "setup-a3"),),
        277: (_push(_EXTRA, "a.md", "A4", _A1, "setup-a4"),),
        285: (
            _push(_EXTRA, "e.md", "E1", None, "d445b67c-7e4e-496f-8e45-4df2a7e9ad36"),
            _push(_EXTRA, "e.md", "E2", _SENTINEL, "setup-e2"),
            _conflicts(_EXTRA, "01a1fd9c-a569-7035-86c1-0203d78702f5"),
        ),
        292: (
            *_source(_MERGES, _unnamed(6)),
            _push(_MERGES, "m.md", "M1", None, "setup-m1"),
            _push(_MERGES, "m.md", "M2", _UNKNOWN_BASE, "setup-m2"),
            _push(_MERGES, "m.md", "M3", _UNKNOWN_BASE, "setup-m3"),
            _conflicts(_MERGES, "01a1fd9c-a5b8-7e6a-8a07-f91c5bc22fa3", "01a1fd9c-a5b1-7acd-93c8-698a8730b02a"),
        ),
    }
)
"""Call index -> the preparations made right before that call."""
