"""Words that a newcomer reads first: each says what is so, and the next step."""

from __future__ import annotations

from typing import Any

import pytest

from agent.cli import render
from agent.cli.output import Grid, TextLine, View


def lines(view: View) -> str:
    """The lines of a view, without its tables."""
    return "\n".join(block.text for block in view if isinstance(block, TextLine))


@pytest.mark.parametrize(
    ("changes", "word", "says"),
    [
        ({"on_server": True}, "this text", False),
        ({"on_server": False}, "not this text", True),
        ({"on_server": False, "unlinked": True}, "-", False),
    ],
)
def test_the_trash_speaks_of_the_servers_present_version(changes: dict[str, Any], word: str, says: bool) -> None:
    """FRICTION 12: a text can be an earlier version on the server; of an unlinked folder nothing is known."""
    row = {"id": "50fd", "path": "a.md", "hash": "a" * 64, "size": 1, "reason": "pull", "moved_at": "x", **changes}
    view = render.trash([row])
    (grid,) = [block for block in view if isinstance(block, Grid)]
    assert dict(zip(grid.headings, grid.rows[0], strict=True))["SERVER NOW"] == word
    assert ("raven-agent history FILE" in lines(view)) is says
