"""Which paths may be used under a root."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import paths

UNSAFE = [
    "",
    ".",
    "..",
    "../x.md",
    "a/../../x.md",
    "a/./b.md",
    "/etc/x.md",
    "//x.md",
    "a//b.md",
    "dir/",
    "C:\\x.md",
    "C:/x.md",
    "c:x.md",
    "a\\b.md",
    "a\x00b.md",
    "a\nb.md",
    "a\rb.md",
    "a\x1bb.md",
    "a\x7fb.md",
    "a\x85b.md",
    "a\udc80b.md",
    "a\ud800b.md",
    "x" * 256 + ".md",
    "ü" * 128,
    "/".join(["abcdefg"] * 600),
    ".raven-agent",
    ".raven-agent/trash/x.md",
    "a/.raven-agent/x.md",
    "a/.Raven-Agent/x.md",
    "a/.raven\u200c-agent/x.md",
    "a/.raven-agent-123.part",
]

SAFE = [
    "notes.md",
    "a/b/c.md",
    "...",
    "a..b.md",
    ".hidden.md",
    "CON",
    "a.",
    "a b.md",
    "notes: draft.md",
    "日本語/ünï.md",
    "x" * 255,
    "ü" * 127,
    "raven-agent/x.md",
    ".raven-agents.md",
]


@pytest.mark.parametrize("path", UNSAFE)
def test_an_unsafe_path_is_refused_with_one_sentence(path: str) -> None:
    reason = paths.check(path)
    assert reason is not None
    assert reason.endswith(".")
    assert "\n" not in reason


@pytest.mark.parametrize("path", SAFE)
def test_an_ordinary_path_is_accepted(path: str) -> None:
    assert paths.check(path) is None


@given(st.text(alphabet=st.sampled_from("ab./\\:\x00\n~ü\udc80-"), max_size=30) | st.text(max_size=60))
def test_an_accepted_path_stays_below_its_root_and_encodes(path: str) -> None:
    """An accepted path always stays below its root and encodes."""
    if paths.check(path) is not None:
        return
    depth = 0
    for part in path.split("/"):
        assert part not in {"", ".", ".."}
        depth += 1
    assert depth >= 1
    assert not path.startswith("/")
    assert b"\x00" not in path.encode()


@given(st.text(min_size=1, max_size=20))
def test_case_and_normalisation_variants_share_a_collision_key(name: str) -> None:
    """Spellings that differ in case or normalisation share a twin key."""
    assert paths.collision_key(unicodedata.normalize("NFC", name)) == paths.collision_key(
        unicodedata.normalize("NFD", name)
    )
    assert paths.collision_key(name) == paths.collision_key(name.casefold())


def test_different_names_keep_different_twin_keys() -> None:
    assert paths.collision_key("a.md") != paths.collision_key("b.md")


def test_ancestors_run_from_the_root_down_and_leave_the_path_out() -> None:
    assert paths.ancestors("a/b/c.md") == ["a", "a/b"]
    assert paths.ancestors("c.md") == []
    assert paths.parent_of("a/b/c.md") == "a/b"
    assert paths.parent_of("c.md") == ""


def test_a_name_is_compared_with_a_file_that_stayed() -> None:
    """Of every state of two files, only a file that stayed in its place proves that the disk tells case apart."""
    for before, other, after in itertools.product((1, 2), (None, 1, 2, 3), (1, 2)):
        found = paths.are_one_name(before, other, after)
        assert (found is True) == (other in (before, after))
        assert (found is False) == (before == after and other != before)
