"""Selective sync: the folders of a source that the server's preferences choose for this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.core.remote_records import RemoteFolder

NOTHING_CHOSEN: Final = "no folder is chosen"
"""The rule that leaves out every file where the chosen folders do not exist."""


class Scope(Struct, frozen=True):
    """The part of a source that this machine keeps.

    Attributes:
        selected: relative paths of folders; only files below them are kept. None: no folder is chosen, all are kept.
        excluded: relative paths of folders; files below them are left out.
    """

    selected: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()

    def rule_against(self, path: str) -> str | None:
        """Return the rule that leaves a file out; None if the file is kept."""
        return self._excluding(path) or self._unchosen(any(_is_below(path, folder) for folder in self.selected or ()))

    def rule_against_folder(self, folder: str) -> str | None:
        """Return the rule that leaves out everything in a folder; None if a file in it can be kept."""
        reached = any(_is_in(folder, one) or _is_in(one, folder) for one in self.selected or ())
        return self._excluding(folder) or self._unchosen(reached)

    def _excluding(self, path: str) -> str | None:
        return next((f"{folder}/" for folder in self.excluded if _is_in(path, folder)), None)

    def _unchosen(self, reached: bool) -> str | None:
        if self.selected is None or reached:
            return None
        return " ".join(f"{folder}/" for folder in self.selected) or NOTHING_CHOSEN


WHOLE: Final = Scope()
"""The scope of a source without preferences."""


class PreferredFolder(Struct, frozen=True):
    """A folder of a preference.

    Attributes:
        id: the server's id; opaque.
        paths: relative paths, the server's newest one first. While a rename of the folder is on its way to this
            machine, its earlier path is one of them. Empty if the folder does not exist.
    """

    id: str
    paths: tuple[str, ...] = ()


class SyncPreference(Struct, frozen=True):
    """The server's preference of this machine for one source.

    Attributes:
        enabled: False if the source is not to be synced on this machine.
        selected: the chosen folders; None if every folder is kept.
        excluded: the folders that are left out; empty with ``selected``.
    """

    enabled: bool = True
    selected: tuple[PreferredFolder, ...] | None = None
    excluded: tuple[PreferredFolder, ...] = ()

    @property
    def scope(self) -> Scope:
        """The paths that the preference keeps."""
        selected = None if self.selected is None else tuple(_paths(self.selected))
        return Scope(selected, tuple(_paths(self.excluded)))

    def moved(self, folders: Iterable[RemoteFolder]) -> SyncPreference:
        """Return the preference with the new paths of its folders added.

        The earlier paths stay, so that the files are moved with the folder instead of leaving the scope.
        """
        paths = {folder.id: folder.path for folder in folders}
        selected = None if self.selected is None else tuple(_moved(one, paths) for one in self.selected)
        return replace(self, selected=selected, excluded=tuple(_moved(one, paths) for one in self.excluded))

    def keeping(self, earlier: SyncPreference, is_in_use: Callable[[str], bool]) -> SyncPreference:
        """Return the preference with those earlier paths of its folders that are still in use on this machine."""
        known = {one.id: one.paths for one in (*(earlier.selected or ()), *earlier.excluded)}

        def kept(folder: PreferredFolder) -> PreferredFolder:
            old = [path for path in known.get(folder.id, ()) if path not in folder.paths and is_in_use(path)]
            return replace(folder, paths=(*folder.paths, *old))

        selected = None if self.selected is None else tuple(map(kept, self.selected))
        return replace(self, selected=selected, excluded=tuple(map(kept, self.excluded)))


EVERYTHING: Final = SyncPreference()
"""The preference of a machine that set none."""


def forgotten(
    kept: Mapping[str, SyncPreference | None], listed: Mapping[str, SyncPreference]
) -> dict[str, SyncPreference]:
    """Return the preferences of this machine that a server lost together with its device, by source.

    Args:
        kept: the preference of each source as this machine knows it.
        listed: the server's own, after the machine has registered anew. One that chooses something was made since.
    """
    return {
        source: preference
        for source, preference in kept.items()
        if preference not in (None, EVERYTHING) and listed.get(source, EVERYTHING) == EVERYTHING
    }


def with_folder(preference: SyncPreference, folder: PreferredFolder) -> SyncPreference:
    """Return the preference that keeps a folder: no longer left out, else chosen beside the other chosen ones."""
    left = tuple(one for one in preference.excluded if one.id != folder.id)
    if len(left) < len(preference.excluded):
        return replace(preference, excluded=left)
    if folder in (preference.selected or ()):
        return preference
    return replace(preference, selected=(*(preference.selected or ()), folder))


def without_folder(preference: SyncPreference, folder: PreferredFolder) -> SyncPreference:
    """Return the preference that leaves a folder out: no longer chosen, else left out beside the others."""
    if preference.selected is not None:
        return replace(preference, selected=tuple(one for one in preference.selected if one.id != folder.id))
    if folder in preference.excluded:
        return preference
    return replace(preference, excluded=(*preference.excluded, folder))


def _moved(folder: PreferredFolder, paths: dict[str, str]) -> PreferredFolder:
    path = paths.get(folder.id)
    return folder if path is None or path in folder.paths else replace(folder, paths=(path, *folder.paths))


def _paths(folders: Iterable[PreferredFolder]) -> Iterable[str]:
    return dict.fromkeys(path for folder in folders for path in folder.paths)


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or _is_below(path, folder)
