"""A sieve tells many names apart at once, and never otherwise than each by itself is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core import paths
from agent.disk.selection.rules import Rules
from disk.fixtures import Room, WrappedFs, open_room

_STEMS = ("a", "id_a", "notes", ".hidden", "x.draft", "é", "e\u0301", "日本", "~$a", "#a", "4913", "a\nb", "\udcff")
_ENDINGS = (".md", ".MD", ".mar\u212adown", ".txt", ".tmp", ".png", "", ".md~", ".key", "#")
_NAMES = st.builds(lambda stem, ending: stem + ending, st.sampled_from(_STEMS), st.sampled_from(_ENDINGS))
_PARTS = ("a", "b", "*", "**", "*.md", "*.tmp", "x.*", "[ab]", "notes.md", "b.md", "?.md", "id_*", "a b", ".*", "\\#a*")
_PATTERNS = st.builds(
    lambda back, lead, parts, tail: back + lead + "/".join(parts) + tail,
    st.sampled_from(["", "", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(st.sampled_from(_PARTS), min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)
_FOLDERS = ("", "a", "a/b", "b")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    include=st.lists(_PATTERNS, max_size=3),
    exclude=st.lists(_PATTERNS, max_size=3),
    ignored=st.dictionaries(st.sampled_from(_FOLDERS), st.lists(_PATTERNS, max_size=4), max_size=3),
    names=st.lists(st.one_of(_NAMES, st.just("n" * 70 + ".md")), unique=True, max_size=12),
)
def test_sure_filter_results_equal_single_name_verdicts(
    tmp_path_factory: pytest.TempPathFactory,
    include: list[str],
    exclude: list[str],
    ignored: dict[str, list[str]],
    names: list[str],
) -> None:
    """Sure names are selected and plain, names in neither list are not selected: whatever the rules."""
    top = tmp_path_factory.mktemp("sieve")
    (top / "root" / "a" / "b").mkdir(parents=True)
    (top / "root" / "b").mkdir()
    for folder, lines in ignored.items():
        (top / "root" / folder / ".gitignore").write_text("\n".join(lines))
    room = open_room(top / "root", top / "state", rules=Rules(tuple(include), tuple(exclude)))
    for folder in _FOLDERS:
        prefix = f"{folder}/" if folder else ""
        sure, doubtful = room.selection.filter_names(folder, names)
        selected = {name for name in names if room.selection.verdict(prefix + name).selected}
        assert set(sure) <= selected <= {*sure, *doubtful}
        assert all(paths.check(prefix + name) is None for name in sure)
        assert len({*sure, *doubtful}) == len(sure) + len(doubtful) <= len(names)
    room.close()


@pytest.mark.parametrize("rules", [Rules(), Rules(exclude=("old-*.md", "attic/")), Rules(include=("**/*.md", "*.rst"))])
def test_common_names_under_common_rules_are_never_doubtful(room: Room, rules: Rules) -> None:
    """Common names under common rules are none of them doubtful."""
    (room.folder / ".gitignore").write_text("*.tmp\nbuild/\n/private/**\n*.draft.md\n!kept.draft.md\ncache-[0-9]*/\n")
    chosen = open_room(room.folder, room.state, rules=rules)
    names = ["Note 1.md", "überblick.md", "日本.md", "picture.png"]
    assert chosen.selection.filter_names("a/b", names) == (names[:3], [])
    chosen.close()


def test_a_folder_without_ignore_files_is_not_searched_for_them(folder: Path, state: Path) -> None:
    """A folder that is open and listed tells by its names that there are none."""
    calls: list[str] = []

    def heard(name: str, _: tuple[Any, ...]) -> None:
        calls.append(name)

    room = open_room(folder, state, WrappedFs(heard))
    with room.root.folder("") as handle:
        calls.clear()
        room.selection.learn_folder("", ["a.md", ".hidden"], handle)
        assert room.selection.filter_names("", ["a.md"]).sure == ["a.md"]
        assert room.selection.may_contain("below")
    assert calls == []
    room.close()
