"""A draft is carried over to the sides as they are now, and no line of it is dropped."""

from __future__ import annotations

import itertools

from agent.core.draft_rebase import MergeSides, marked_blocks, rebase_draft
from agent.core.merge import begin_merge

LOCAL, REMOTE = b"a\nmine\nb\nc\nd\n", b"a\ntheirs\nb\nc\nd\n"


def test_a_change_elsewhere_is_carried_over() -> None:
    """The decided lines stay, the moved side's new line arrives, and no marker is needed."""
    draft = b"a\nboth, decided\nb\nc\nd\n"
    moved = MergeSides(LOCAL, REMOTE.replace(b"d\n", b"d\nnew\n"))
    assert rebase_draft(draft, MergeSides(LOCAL, REMOTE), moved) == b"a\nboth, decided\nb\nc\nd\nnew\n"


def test_an_undecided_block_takes_the_new_text() -> None:
    """A block that the person has not decided holds the side's new text; markers are not nested."""
    draft = b"a\n<<<<<<< local\nmine\n=======\ntheirs\n>>>>>>> raven\nb\nc\nd\n"
    moved = MergeSides(LOCAL, REMOTE.replace(b"theirs", b"theirs 2"))
    expected = draft.replace(b"theirs", b"theirs 2")
    assert rebase_draft(draft, MergeSides(LOCAL, REMOTE), moved) == expected
    moved = MergeSides(LOCAL.replace(b"mine", b"mine 2"), REMOTE)
    assert rebase_draft(draft, MergeSides(LOCAL, REMOTE), moved) == draft.replace(b"mine", b"mine 2")


def test_a_change_of_decided_lines_is_marked() -> None:
    """A line that the person decided and the side changed again stands beside the side's line."""
    draft = b"a\ndecided\nb\nc\nd\n"
    moved = MergeSides(LOCAL, REMOTE.replace(b"theirs", b"theirs 2"))
    found = rebase_draft(draft, MergeSides(LOCAL, REMOTE), moved)
    assert found == b"a\n<<<<<<< draft\ndecided\n=======\ntheirs 2\n>>>>>>> raven\nb\nc\nd\n"


def test_no_line_of_a_small_draft_is_dropped() -> None:
    """Over all small moves: each line that only the draft has is in the result, and blocks are not nested."""
    texts = [b"".join(lines) for n in range(3) for lines in itertools.product((b"x\n", b"y\n"), repeat=n)]
    own = b"typed by hand\n"
    for local, remote, new_local, new_remote in itertools.product(texts, repeat=4):
        start = begin_merge(b"x\n", local, remote)
        assert start is not None
        for place in (0, len(start.text)):
            draft = start.text[:place] + own + start.text[place:]
            found = rebase_draft(draft, MergeSides(local, remote), MergeSides(new_local, new_remote))
            assert found is not None and own in found
            lines = found.splitlines(keepends=True)
            blocks = marked_blocks(lines)
            markers = [line for line in lines if line.startswith((b"<<<<", b"====", b">>>>"))]
            assert len(markers) == 3 * len(blocks), (start.text, local, remote, new_local, new_remote, found)


def test_a_side_that_is_missing_gives_no_rebase() -> None:
    """A deleted side, or a binary one, leaves the draft as it is."""
    assert rebase_draft(b"d", MergeSides(b"a", b"b"), MergeSides(b"a", None)) is None
    assert rebase_draft(b"d", MergeSides(b"a", b"b"), MergeSides(b"a\0", b"b")) is None


def test_without_a_base_each_difference_is_marked() -> None:
    """Both sides of a conflict without a base are in the text that a person begins with."""
    found = begin_merge(None, b"a\nb\nc\n", b"a\nB\nc\nd")
    assert found is not None and not found.clean
    assert found.text == (
        b"a\n<<<<<<< local\nb\n=======\nB\n>>>>>>> raven\nc\n<<<<<<< local\n=======\nd\n>>>>>>> raven\n"
    )
    assert [(hunk.base, hunk.local, hunk.remote) for hunk in found.hunks] == [
        (None, b"b\n", b"B\n"),
        (None, b"", b"d"),
    ]
    assert begin_merge(None, b"a", None) is None


def test_an_underline_is_not_taken_for_the_marker() -> None:
    """A heading with seven equal signs below it is text of its side, if the sides are known."""
    lines = b"<<<<<<< local\nTitle\n=======\nmine\n=======\ntheirs\n>>>>>>> raven\n".splitlines(keepends=True)
    (block,) = marked_blocks(lines, [(b"Title\n=======\nmine\n", b"theirs")])
    assert block.left == [b"Title\n", b"=======\n", b"mine\n"]
    (block,) = marked_blocks(lines)
    assert block.left == [b"Title\n"]
