"""Path checks over every short string of nasty characters, against another way of saying what is safe."""

from __future__ import annotations

import itertools
import posixpath
import unicodedata
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from agent.core import paths

COMBINING_ACUTE = "\u0301"
NASTY = (".", "/", "\\", ":", "\x00", "\n", " ", "a", "A", "á", COMBINING_ACUTE, "\udc80")
ROOT = "/the/root"


def _all(length: int) -> Iterator[str]:
    for size in range(length + 1):
        yield from map("".join, itertools.product(NASTY, repeat=size))


def _is_safe(path: str) -> bool:
    """What is safe, by the library's own idea of a normal path instead of by looking at parts."""
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    if any(unicodedata.category(letter) == "Cc" for letter in path) or "\\" in path:
        return False
    if posixpath.normpath(path) != path or posixpath.isabs(path) or path in {".", ".."} or path.startswith("../"):
        return False
    if path[1:2] == ":" and path[0].isascii() and path[0].isalpha():
        return False
    return len(encoded) <= 4096 and all(len(part.encode()) <= 255 for part in path.split("/"))


def test_strings_of_four_nasty_characters_match_a_second_judge() -> None:
    """22,621 strings: accepted exactly where the path is relative, normal, encodable and free of control characters."""
    wrong = [path for path in _all(4) if (paths.check(path) is None) is not _is_safe(path)]
    assert wrong == []


def test_an_accepted_string_stays_strictly_below_its_root() -> None:
    """Joined to a root and normalised, every accepted path lies strictly below it."""
    accepted = [path for path in _all(4) if paths.check(path) is None]
    assert len(accepted) > 1000
    for path in accepted:
        whole = posixpath.normpath(posixpath.join(ROOT, path))
        assert whole.startswith(ROOT + "/") and whole == f"{ROOT}/{path}"


def test_every_refusal_is_one_sentence_a_person_can_be_shown() -> None:
    """No refusal repeats the characters it refuses."""
    for reason in {paths.check(path) for path in _all(3)} - {None}:
        assert reason is not None and reason.endswith(".") and reason.isprintable()


@given(st.lists(st.sampled_from([*NASTY, "b", "..", "é", "\x7f", "\x85", "\ud800", "C"]), max_size=40).map("".join))
def test_longer_strings_are_judged_alike(path: str) -> None:
    """The same comparison where there are too many strings to try them all."""
    assert (paths.check(path) is None) is _is_safe(path)


@given(st.text(max_size=60))
def test_any_text_is_judged_alike_but_for_the_agents_names(path: str) -> None:
    """Over the whole of Unicode, only the names the agent keeps for itself are refused beyond what is unsafe."""
    own = any(paths.is_own_name(part) for part in path.split("/"))
    assert (paths.check(path) is None) is (_is_safe(path) and not own)


def test_a_part_may_have_255_bytes_and_a_path_4096() -> None:
    """Lengths are counted in bytes as the disk counts them, at every place in the path."""
    for letter, place in itertools.product(("a", "á", "日", "😀"), ("{}", "b/{}", "{}/b")):
        size = len(letter.encode())
        for count in range(250 // size, 260 // size + 1):
            whole = place.format(letter * count)
            assert (paths.check(whole) is None) is (count * size <= 255), whole
    for spare in range(-2, 3):
        whole = "/".join(["x" * 255] * 15 + ["y" * 100, "z" * (155 + spare)])
        assert (paths.check(whole) is None) is (len(whole) <= 4096)


def test_the_agents_own_name_is_refused_in_every_folded_spelling() -> None:
    """All 1,024 spellings by case, and every place an ignorable character can hide, at any depth."""
    letters = [(c.lower(), c.upper()) if c.isalpha() else (c,) for c in paths.OWN_NAME]
    for spelling in map("".join, itertools.product(*letters)):
        assert paths.check(spelling) is not None and paths.check(f"d/{spelling}/trash/x.md") is not None
    for at, hidden in itertools.product(range(len(paths.OWN_NAME) + 1), "\u200c\u200d\u200e\u200f\u202a\u206f\ufeff"):
        assert paths.check(paths.OWN_NAME[:at] + hidden + paths.OWN_NAME[at:]) is not None


def test_two_spellings_collide_exactly_where_they_fold_equal() -> None:
    """Over every pair of strings of three: the key is one for spellings of one name, and tells all others apart."""
    classes: dict[str, set[str]] = {}
    for name in _all(3):
        folded = unicodedata.normalize("NFKD" if name.isascii() else "NFD", name).lower()
        classes.setdefault(unicodedata.normalize("NFC", folded), set()).add(paths.collision_key(name))
    keys = [key for found in classes.values() for key in found]
    assert all(len(found) == 1 for found in classes.values())
    assert len(set(keys)) == len(classes)


def test_a_twin_key_is_its_own_twin_key() -> None:
    """Folding twice is folding once, so that keys can be compared with keys."""
    for name in _all(3):
        assert paths.collision_key(paths.collision_key(name)) == paths.collision_key(name)


def test_the_folders_above_a_path_are_its_beginnings() -> None:
    """Every accepted path is its folders and its name, and each folder above is itself accepted."""
    for path in _all(4):
        if paths.check(path) is None:
            above = paths.ancestors(path)
            assert all(paths.check(folder) is None and path.startswith(folder + "/") for folder in above)
            assert len(above) == path.count("/")
            assert paths.parent_of(path) == (above[-1] if above else "")
