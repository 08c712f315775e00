"""The texts of the merge page, without a browser: no line is lost, and no line end is changed."""

from __future__ import annotations

import itertools
import json

import pytest

from agent.core.errors import UsageError
from agent.core.merge import begin_merge
from agent.ui.merge_text import Hunk, has_mixed_line_ends, open_blocks, posted_text, take
from agent.ui.three_columns import changed_words, three_columns
from agent.ui.visit import Fields

LINES = ("x\n", "y\n", "T\n=======\n")
TEXTS = ["".join(lines) for n in range(3) for lines in itertools.product(LINES, repeat=n)] + ["x", "y\nx"]


def _begun(base: str | None, local: str, remote: str) -> tuple[str, list[Hunk]]:
    begun = begin_merge(None if base is None else base.encode(), local.encode(), remote.encode())
    assert begun is not None
    return begun.text.decode(), [
        {
            "base": None if hunk.base is None else hunk.base.decode(),
            "local": hunk.local.decode(),
            "remote": hunk.remote.decode(),
        }
        for hunk in begun.hunks
    ]


@pytest.mark.parametrize("base", ["x\ny\n", None])
def test_one_side_for_every_conflict_gives_that_side(base: str | None) -> None:
    """Over all small texts without a base: deciding each block for a side gives the side, byte for byte."""
    for local, remote in itertools.product(TEXTS, repeat=2):
        text, hunks = _begun(base, local, remote)
        assert len(open_blocks(text, hunks)) == len(hunks)
        for choice, expected in (("mine", local), ("server", remote)):
            decided = text
            while open_blocks(decided, hunks):
                decided = take(decided, 0, choice, hunks)
            if base is None:
                assert decided == expected, (local, remote, choice)


def test_both_keeps_the_lines_of_both() -> None:
    """Both sides follow each other, with a line end between them."""
    text, hunks = _begun("a\n", "mine", "theirs")
    assert take(text, 0, "both", hunks) == "mine\ntheirs"
    assert take(text, 0, "base", hunks) == "a\n"
    with pytest.raises(UsageError):
        take(text, 1, "mine", hunks)
    with pytest.raises(UsageError):
        take(text, 0, "none", hunks)


def test_a_posted_text_keeps_its_line_ends() -> None:
    """The editor's text is exact; a text field's gets the line ends of the text that was shown."""
    exact = "a\r\nb\nc\rd\ud800"
    assert (
        posted_text(Fields({"exact": [json.dumps(exact)], "text": ["other"]}), "")
        == "a\r\nb\nc\rd\N{REPLACEMENT CHARACTER}"
    )
    assert posted_text(Fields({"text": ["a\r\nb\r\n"]}), "x\ny\n") == "a\nb\n"
    assert posted_text(Fields({"text": ["a\r\nb\r\n"]}), "x\r\n<<<<<<< local\ny\r\nz\r\n") == "a\r\nb\r\n"
    with pytest.raises(UsageError):
        posted_text(Fields({}), "")
    assert not has_mixed_line_ends("a\r\n<<<<<<< local\nb\r\n=======\nc\r\n>>>>>>> raven\n")
    assert has_mixed_line_ends("a\r\nb\n") and has_mixed_line_ends("a\rb\n")


def test_the_columns_hold_every_line_once() -> None:
    """Over all small texts: each column has the lines of its text, in order."""
    for base, mine, server in itertools.product([*TEXTS, None], TEXTS, TEXTS):
        rows, _ = three_columns(base, mine, server)
        # Rows that are equal everywhere may be left out; these texts are too short for that unless all are equal.
        if any(row.kind == "gap" for row in rows):
            assert mine.splitlines() == server.splitlines()
            assert base is None or base.splitlines() == mine.splitlines()
            continue
        for name, text in (("mine", mine), ("base", base), ("server", server)):
            cells = [cell for row in rows if (cell := getattr(row, name)) is not None]
            assert [cell.number for cell in cells] == list(range(1, len(cells) + 1))
            if text is not None:
                assert ["".join(span.text for span in cell.spans) for cell in cells] == text.splitlines()


def test_changed_words_are_marked() -> None:
    """Only the words that differ are marked, and the line is whole."""
    spans = changed_words("The budget is 100 euros.", "The budget is 120 euros.")
    assert [span.text for span in spans if span.changed] == ["120"]
    assert "".join(span.text for span in spans) == "The budget is 120 euros."
