"""Selective sync: which paths a preference keeps, and what becomes of it when its folders move."""

from __future__ import annotations

import itertools

from agent.core.remote_records import RemoteFolder
from agent.core.scope import (
    EVERYTHING,
    NOTHING_CHOSEN,
    WHOLE,
    PreferredFolder,
    Scope,
    SyncPreference,
    forgotten,
    with_folder,
    without_folder,
)

FOLDERS = ("", "a", "a/b", "ab", "c")
FILES = [f"{folder}/x".lstrip("/") for folder in FOLDERS]
A, B = PreferredFolder("1", ("a",)), PreferredFolder("2", ("b",))


def choices(*folders: str) -> list[tuple[str, ...]]:
    return [chosen for count in range(3) for chosen in itertools.combinations(folders, count)]


def test_a_file_is_kept_below_chosen_folders_only() -> None:
    """Every small choice, compared with the definition over the folders above the file."""
    for selected, excluded in itertools.product([None, *choices("a", "a/b", "ab", "c")], choices("a", "a/b", "c")):
        scope = Scope(selected, excluded)
        for file in FILES:
            above = {file[:index] for index, letter in enumerate(file) if letter == "/"}
            kept = not above & set(excluded) and (selected is None or bool(above & set(selected)))
            assert (scope.rule_against(file) is None) is kept, (scope, file)


def test_a_folder_is_left_out_if_no_file_in_it_is_kept() -> None:
    """A folder above a chosen one is walked; a left-out one never is."""
    for selected, excluded in itertools.product([None, *choices("a", "a/b", "c")], choices("a", "a/b", "c")):
        scope = Scope(selected, excluded)
        for folder in FOLDERS[1:]:
            inside = [f"{folder}/x", f"{folder}/b/x", f"{folder}/deep/x"]
            if any(scope.rule_against(file) is None for file in inside):
                assert scope.rule_against_folder(folder) is None, (scope, folder)
        for folder in excluded:
            assert scope.rule_against_folder(folder) in [f"{one}/" for one in excluded]


def test_the_rule_names_the_folders_that_decided() -> None:
    assert WHOLE.rule_against("a/x") is None
    assert Scope(None, ("a",)).rule_against("a/x") == "a/"
    assert Scope(("a", "c")).rule_against("b/x") == "a/ c/"
    assert Scope(()).rule_against("b/x") == NOTHING_CHOSEN


def test_a_moved_folder_keeps_its_earlier_path() -> None:
    """Both paths are in the scope while the rename is carried out here, so nothing is left behind or sent as new."""
    before = SyncPreference(selected=(A,), excluded=())
    moved = before.moved([RemoteFolder("1", "z/a", None), RemoteFolder("9", "y", None)])
    assert moved.scope == Scope(("z/a", "a"))
    read = SyncPreference(selected=(PreferredFolder("1", ("z/a",)),))
    assert read.keeping(moved, lambda path: path == "a") == moved
    assert read.keeping(moved, lambda _: False) == read
    assert before.moved([RemoteFolder("1", "a", None)]) == before
    left_out = SyncPreference(excluded=(A,)).moved([RemoteFolder("1", "z", None)])
    assert left_out.scope == Scope(None, ("z", "a"))


def test_only_lost_preferences_are_put_back() -> None:
    """One that was made since stays as it is, and one that chooses nothing needs no call."""
    chosen, made = SyncPreference(excluded=(A,)), SyncPreference(enabled=False)
    kept = {"lost": chosen, "made": chosen, "none": None, "all": EVERYTHING}
    assert forgotten(kept, {"made": made, "lost": EVERYTHING, "all": EVERYTHING}) == {"lost": chosen}
    assert forgotten(kept, {"made": made}) == {"lost": chosen}


def test_folders_are_kept_and_left_out_one_by_one() -> None:
    """A folder that was left out comes back before it is chosen; all are kept again without any choice."""
    assert without_folder(EVERYTHING, A) == SyncPreference(excluded=(A,))
    assert without_folder(without_folder(EVERYTHING, A), A) == SyncPreference(excluded=(A,))
    assert with_folder(SyncPreference(excluded=(A, B)), A) == SyncPreference(excluded=(B,))
    assert with_folder(SyncPreference(excluded=(A,)), A) == EVERYTHING
    assert with_folder(EVERYTHING, A) == SyncPreference(selected=(A,))
    assert with_folder(SyncPreference(selected=(A,)), B) == SyncPreference(selected=(A, B))
    assert with_folder(SyncPreference(selected=(A,)), A) == SyncPreference(selected=(A,))
    assert without_folder(SyncPreference(selected=(A, B)), A) == SyncPreference(selected=(B,))
