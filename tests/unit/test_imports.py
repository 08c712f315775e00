"""A session's modules are imported at less cost, and nothing else changes by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

_PROGRAM: Final = """
import gc, sys
from agent.process.imports import quick_imports
with quick_imports():
    from agent.daemon.foreground import CommandSession
assert "typing_extensions" not in sys.modules
assert gc.isenabled() and gc.get_freeze_count()
import msgspec, typing, typing_extensions
assert typing_extensions.Required is typing.Required
assert typing_extensions.NotRequired is typing.NotRequired
class Part(typing.TypedDict):
    known: typing.Annotated[int, msgspec.Meta(ge=1)]
    other: typing_extensions.NotRequired[str]
assert msgspec.convert({"known": 1}, Part) == {"known": 1}
for wrong in ({"known": 0}, {"other": ""}, {"known": 1, "other": 2}):
    try:
        msgspec.convert(wrong, Part)
    except msgspec.ValidationError:
        continue
    raise AssertionError(wrong)
"""


def test_quick_imports_change_no_meaning() -> None:
    """msgspec takes the same names from elsewhere; later imports and collections work as ever."""
    subprocess.run([sys.executable, "-c", _PROGRAM], check=True, cwd=Path(__file__).parents[2])


def test_a_hub_imports_neither_postgresql_nor_websockets() -> None:
    """Most hubs keep their data in SQLite, and each start pays for imports."""
    program = (
        "import sys\nimport agent.hub.__main__\n"
        "assert not [name for name in sys.modules if name.startswith(('sqlalchemy.dialects.postgresql', 'wsproto'))]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
