"""Selective sync: the preferences of this machine's device, with the paths of their folders."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from agent.core.scope import EVERYTHING, PreferredFolder, SyncPreference
from agent.remotes.book import BookOf
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.http.request import ApiRequest, encode_json
from agent.remotes.scaidrive.calls import MISSING, WRITE_COST, Calls, no_folder
from agent.remotes.scaidrive.tree import ShareFolders
from agent.remotes.scaidrive.wire_preferences import PreferenceRow, folder_path_of, preference_body, preferences_of


class SharePreferences:
    """``SelectiveSync`` for ScaiDrive's API. Safe to use from several threads.

    Args:
        device: returns the id of this machine's device.
    """

    def __init__(self, calls: Calls, tree: ShareFolders, books: BookOf, device: Callable[[], str]) -> None:
        self._calls = calls
        self._tree = tree
        self._books = books
        self._device = device

    def read(self, source_ids: Collection[str]) -> dict[str, SyncPreference]:
        """See ``SelectiveSync``. An empty list of chosen folders chooses none in particular: all are kept."""
        rows = preferences_of(self._calls.get("sync/devices/{}/preferences", (self._device(),)))
        listed = {row.share: row for row in rows if row.share in source_ids}
        return {share: self._resolved(listed[share]) if share in listed else EVERYTHING for share in source_ids}

    def write(self, source_id: str, preference: SyncPreference) -> None:
        """See ``SelectiveSync``."""
        self._put("sync/devices/{}/preferences/{}", (self._device(), source_id), _body(preference))

    def write_all(self, preferences: Mapping[str, SyncPreference]) -> None:
        """See ``SelectiveSync``."""
        rows = [{"share_id": share, **_body(preference)} for share, preference in preferences.items()]
        self._put("sync/devices/{}/preferences", (self._device(),), {"preferences": rows})

    def _put(self, endpoint: str, ids: tuple[str, ...], body: Mapping[str, Any]) -> None:
        self._calls.send(
            ApiRequest(
                "PUT", endpoint, ids, body=encode_json(body), limits=DecodeLimits.PAGE, may_be_empty=True,
                cost=WRITE_COST,
            )
        )  # fmt: skip

    def folder(self, source_id: str, path: str) -> PreferredFolder:
        """See ``SelectiveSync``."""
        identifier = self._tree.folder(source_id, path)
        if identifier is None:
            raise no_folder(path)
        return PreferredFolder(identifier, (path,))

    def _resolved(self, row: PreferenceRow) -> SyncPreference:
        selected = tuple(self._found(row.share, one) for one in row.selected) or None
        return SyncPreference(row.enabled, selected, tuple(self._found(row.share, one) for one in row.excluded))

    def _found(self, share: str, identifier: str) -> PreferredFolder:
        """Return a folder with the server's path, and with the path that this machine still knows it by."""
        known = self._books(share).folder_path(identifier)
        try:
            found = folder_path_of(self._calls.get("folders/{}", (identifier,), limits=DecodeLimits.RECORD))
        except RemoteCallError as failure:
            if failure.problem.kind not in MISSING:
                raise
            # Deleted, or not for this account. Files that are still here under its path stay in the scope.
            found = None
        paths = dict.fromkeys(path for path in (found, known) if path is not None)
        return PreferredFolder(identifier, tuple(paths))


def _body(preference: SyncPreference) -> dict[str, Any]:
    selected = None if preference.selected is None else [one.id for one in preference.selected]
    return preference_body(preference.enabled, selected, [one.id for one in preference.excluded] or None)
