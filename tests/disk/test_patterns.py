"""Patterns match as in git, in linear work, whatever a person, a server or an ignore file writes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from agent.disk.selection.bulk_filter import ExcludeChain
from agent.disk.selection.glob import InvalidPattern, translate
from agent.disk.selection.ignore_lines import ignore_lines
from agent.disk.selection.patterns import MAX_IGNORE_PATTERNS, MAX_PATTERNS, PatternList, built_in, check_pattern
from agent.disk.selection.review import refused_patterns, risky_patterns, unmatched_patterns
from agent.disk.selection.rules import Rules
from disk.fixtures import open_room

_PARTS = (
    "a", "b", "*", "**", "*.md", "x.*", "[ab]", "notes.md", "?.md", "a b", "\\#a*", "a*b", "*a*b*", "[!a]", "**a",
    "a?b*", "[a-c]x", "[]]", "[^b]*",
)  # fmt: skip
_NAMES = ("a", "b", "x", "notes.md", "b.md", "a b", "#ab", "axb", "ax", "bx", "aab", "]", "x.md")
_PATTERN = st.builds(
    lambda back, lead, parts, tail: back + lead + "/".join(parts) + tail,
    st.sampled_from(["", "", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(st.sampled_from(_PARTS), min_size=1, max_size=4),
    st.sampled_from(["", "", "/"]),
)
_LINE = st.one_of(_PATTERN, st.text("ab9_.-*?/![]\\#z ", max_size=12))
HOSTILE = (
    "a" * 60 + "+",
    "*a" * 14 + "b",
    "*a*" * 30,
    "a*" * 60 + "b",
    "**/*a*a*a*a*a*b/**/*a*a*a*b",
    "[a]*" * 30 + "b",
    "?*" * 30 + "b",
)


@settings(max_examples=1500, deadline=None)
@given(
    patterns=st.lists(_PATTERN, min_size=1, max_size=4),
    parts=st.lists(st.sampled_from(_NAMES), min_size=1, max_size=5),
    is_folder=st.booleans(),
)
def test_every_pattern_decides_as_the_reference_does(patterns: list[str], parts: list[str], is_folder: bool) -> None:
    """pathspec, whose expressions backtrack, is the reference for the meaning of patterns."""
    path = "/".join(parts) + ("/" if is_folder else "")
    try:
        reference = GitIgnoreSpec.from_lines(patterns, backend="simple").check_file(path)
    except GitIgnorePatternError:
        return
    found = PatternList.given(patterns, "here").match(path)
    wanted = None if reference.index is None else (patterns[reference.index], not reference.include)
    assert (None if found is None else (found.pattern, found.negated)) == wanted
    touched = any(GitIgnoreSpec.from_lines([one]).check_file(path).include for one in patterns if one[0] != "!")
    assert PatternList.given(patterns, "here").touches(path) == touched


@pytest.mark.filterwarnings("ignore::FutureWarning")
@settings(max_examples=2000, deadline=None)
@given(line=_LINE)
def test_a_line_is_a_pattern_as_for_the_reference(line: str) -> None:
    """Lines that are decided without the reference are negated, or no patterns, as it says."""
    text = line if line.endswith("\\ ") else line.rstrip()
    try:
        adds = GitIgnoreSpecPattern.pattern_to_regex(text)[1]
    except GitIgnorePatternError:
        with pytest.raises(InvalidPattern):
            translate(line)
        return
    try:
        found = translate(line)
    except InvalidPattern:
        # We refuse more: a range that ends before it begins.
        return
    assert (None if found is None else not found.negated) == adds


@pytest.mark.parametrize("pattern", HOSTILE)
@pytest.mark.parametrize("path", ["a" * 250, "/".join(["a" * 60] * 60), ("a/" * 1000) + "a"])
def test_fh1_hostile_patterns_cost_linear_work(pattern: str, path: str) -> None:
    """FH1: patterns that made a backtracking engine run for ever are decided at once."""
    patterns = PatternList.given([pattern], "here")
    started = time.process_time()
    patterns.match(path)
    patterns.touches(path)
    ExcludeChain((("", patterns),)).remaining("", [path.rpartition("/")[2]])
    assert time.process_time() - started < 0.5


def test_fh1_many_names_against_many_patterns() -> None:
    """FH1: 10,000 names against 200 hostile patterns; about 40 ms on a quiet machine."""
    patterns = PatternList.given(["*a" * 14 + f"b{n}" for n in range(200)], "here")
    names = ["a" * 60 + str(n) for n in range(10_000)]
    started = time.process_time()
    assert all(patterns.match(name) is None for name in names)
    assert ExcludeChain((("", patterns),)).remaining("", names) == names
    assert time.process_time() - started < 3.0


@pytest.mark.parametrize(
    "rules", [Rules(), Rules(include=("*a" * 14 + "b", "**/*.md")), Rules(exclude=("*a" * 14 + "b",))]
)
def test_fh1_a_folder_with_hostile_rules_is_decided(folder: Path, state: Path, rules: Rules) -> None:
    """FH1: the same through a selection, from a `.gitignore`, an include and an exclude pattern."""
    (folder / ".gitignore").write_text("*a" * 14 + "b\n")
    room = open_room(folder, state, rules=rules)
    started = time.process_time()
    for name in ("a" * 60, "a" * 60 + ".md"):
        room.selection.verdict(name)
        room.selection.filter_names("", [name])
        room.selection.may_contain(name)
    assert time.process_time() - started < 1.0
    room.close()


@pytest.mark.parametrize("text", ["x\n" * (MAX_IGNORE_PATTERNS + 1), "#" * ((1 << 20) + 1)])
def test_fh1_an_ignore_file_over_a_limit_decides_nothing(folder: Path, state: Path, text: str) -> None:
    """FH1: a part of it is never used, because files that the rest excludes would be sent."""
    (folder / ".gitignore").write_text(text)
    room = open_room(folder, state)
    with pytest.raises(OSError, match=r"\.gitignore"):
        room.selection.verdict("a.md")
    room.close()


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "empty"), ("  ", "empty"), ("!a.md", "negated"), ("#a", "comment"), ("[a", "']'"), ("a\\", "backslash"),
        ("[z-a]", "range"), ("/", "names nothing"), ("//", "names nothing"), ("a\x00b", "control"), ("a\nb", "control"),
        ("x" * 5000, "longer than"),
    ],
)  # fmt: skip
def test_friction_3_malformed_patterns_are_refused(pattern: str, reason: str) -> None:
    """Malformed, empty and negated patterns have a reason in words."""
    found = check_pattern(pattern)
    assert found is not None and reason in found
    assert refused_patterns([pattern, "*.md"]) == [(pattern, found)]


@pytest.mark.parametrize("pattern", ["*.md", "/a/**", "**", "[a-z]*", "\\#x", "\\!x", "a b", ".*", "**/x/"])
def test_friction_3_good_patterns_are_not_refused(pattern: str) -> None:
    assert check_pattern(pattern) is None


def test_fh1_the_number_of_patterns_is_bounded() -> None:
    """FH1: a server cannot give a source more patterns than a machine can try."""
    assert refused_patterns(["*.md"] * MAX_PATTERNS) == []
    assert "at most" in refused_patterns(["*.md"] * (MAX_PATTERNS + 1))[0][1]


@pytest.mark.parametrize(
    "name", [".git", ".GIT", ".Git", ".g\u200cit", "ID_RSA", "Id_ed25519", "server.PEM", "My.Key", "Node_Modules"]
)
def test_fh2_built_in_excludes_hold_whatever_the_case(name: str) -> None:
    """FH2: a disk that ignores case would open the same file."""
    assert built_in(name) is not None


def test_fh2_a_folder_filtered_at_once_hides_secrets_too(folder: Path, state: Path) -> None:
    """FH2: the bulk filter agrees with the single decision, whatever the case."""
    room = open_room(folder, state)
    names = ["ID_a.md", "id_a.md", "Id_a.txt", "a.md", "Ideas.md", "4913.md"]
    sure, doubtful = room.selection.filter_names("", names)
    selected = {name for name in names if room.selection.verdict(name).selected}
    assert selected == {"a.md", "Ideas.md", "4913.md"}
    assert set(sure) <= selected <= {*sure, *doubtful}
    room.close()


@pytest.mark.parametrize(
    ("pattern", "risky"),
    [
        (".*", True), ("**/.env", True), (".ssh/**", True), ("/.config/x.md", True), ("docs/.hidden/*.md", True),
        ("*.env", True), ("credentials.json", True), ("**/secrets/**", True), ("*passw*", True), ("*.P12", True),
        ("**", False), ("*", False), ("**/*.md", False), ("*.json", False), ("notes/**", False), ("./a.md", False),
        ("s*", False), ("server*", False),
    ],
)  # fmt: skip
def test_fh2_patterns_for_private_files_are_risky(pattern: str, risky: bool) -> None:
    """FH2: a pattern that names dotfiles or secrets needs a person's yes; one for whole kinds of files does not."""
    assert risky_patterns(Rules(include=(pattern, "*.md"))) == ([pattern] if risky else [])


def test_lines_of_an_ignore_file_are_told_apart() -> None:
    """Numbers are those of the origins; a line that is no valid pattern is reported, and does not count."""
    text = "# notes\r\n\ndrafts/\n[z-a]x\n!drafts/keep.md\n"
    found = [(line.number, line.text, line.kind.value) for line in ignore_lines(text)]
    assert found == [
        (1, "# notes", "comment"),
        (2, "", "comment"),
        (3, "drafts/", "pattern"),
        (4, "[z-a]x", "malformed"),
        (5, "!drafts/keep.md", "pattern"),
    ]
    counted = PatternList.read(text, ".gitignore")
    assert len(counted) == 2
    match = counted.match("drafts/a.md")
    assert match is not None and match.origin == ".gitignore:3"
    assert ignore_lines("") == []


def test_a_pattern_is_unmatched_only_where_no_path_matches_it() -> None:
    """A pattern that takes back what another one matched adds no file, so it is never unmatched."""
    patterns = ["**/*.md", "proj/**", "*.org", "!proj/**", "old/"]
    assert unmatched_patterns(patterns, {"proj/plan.md", "a.txt"}) == ["*.org", "old/"]
    assert unmatched_patterns(patterns, set()) == ["**/*.md", "proj/**", "*.org", "old/"]
