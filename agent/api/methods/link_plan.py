"""The plan of a link: what it does to each file of both sides. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory
from typing import Final

from agent.api.methods.common import opened_folder, readable
from agent.api.methods.skips import reason_words
from agent.api.schema.links import LinkNames, LinkPlan, SkippedName
from agent.core import paths
from agent.core.accepts import Accepts
from agent.core.model import Mode, Observation, Side
from agent.core.remote_records import RemoteFile
from agent.disk.fs.protocol import Fs
from agent.disk.root import Root
from agent.disk.selection.rules import Selection
from agent.engine import messages as m
from agent.remotes.protocol import RemoteSource
from agent.runtime.agent import Agent
from agent.runtime.source_setup import rules_of
from agent.settings.links import SourceEntry

_NAMED: Final = 20
"""Skipped files that a plan names; the others are only counted."""
_PLANNED: Final = 200
"""Other files that a dry run names, of each kind."""


class LinkPlanner:
    """Counts what a link would do to every file: the union of the two sides. Of a large folder nothing is kept.

    Attributes:
        counts: the files of each kind.
        skipped: some of those that cannot be synced, each with its reason.
        names: some of the files of each other kind.
    """

    def __init__(self, agent: Agent, draft: SourceEntry, joined: RemoteSource | None) -> None:
        self._agent = agent
        self._draft = draft
        self._joined = joined
        self.counts = LinkPlan()
        self.skipped: list[SkippedName] = []
        self.names = LinkNames()

    def run(self, record: Callable[[m.ScanResults], None]) -> None:
        """Scan the folder, compare it with the server, and pass the scan's results on to ``record``."""
        remote = {path: file for path, file in self._remote_files().items() if paths.check(path) is None}
        seen: set[str] = set()
        if self._draft.root.is_dir():
            with opened_folder(self._agent, self._draft) as folder:
                remote = {path: file for path, file in remote.items() if folder.selection.verdict(path).selected}
                for batch in folder.scan((), self._accepts()):
                    self._count(batch.seen, remote)
                    for skipped in batch.skipped:
                        self._skip(skipped.raw_path, skipped.text)
                    seen.update(one.path for one in batch.seen if one.path in remote)
                    record(m.ScanResults(batch.seen, batch.skipped, frozenset(batch.mounts)))
        else:
            remote = _selected_of(remote, self._agent.fs, self._draft)
        if self._draft.mode is Mode.BIDIRECTIONAL:
            self.counts.download = len(remote) - self.counts.adopt - self.counts.park
            for path in sorted(remote.keys() - seen)[:_PLANNED]:
                _name(self.names.download, path)

    def _count(self, seen: Sequence[Observation], remote: dict[str, RemoteFile]) -> None:
        for one in seen:
            listed = remote.get(one.path)
            if listed is not None:
                if _may_be_equal(one.side, listed):
                    self.counts.adopt += 1
                    _name(self.names.adopt, one.path)
                else:
                    self.counts.park += 1
                    _name(self.names.park, one.path)
            elif one.side.reason is None:
                self.counts.upload += 1
                _name(self.names.upload, one.path)
            else:
                self._skip(one.path, reason_words(one.side.reason))

    def _skip(self, path: str, reason: str) -> None:
        self.counts.skip += 1
        if len(self.skipped) < _NAMED:
            self.skipped.append(SkippedName(readable(path), reason))

    def _accepts(self) -> Accepts:
        can = self._agent.server(self._draft.server).capabilities
        return Accepts(can.text_only)

    def _remote_files(self) -> dict[str, RemoteFile]:
        if self._joined is None:
            return {}
        remote = self._agent.server(self._draft.server).remote()
        return {file.path: file for page in remote.listing(self._joined.id) for file in page}


def _selected_of(remote: dict[str, RemoteFile], fs: Fs, draft: SourceEntry) -> dict[str, RemoteFile]:
    """Return the server's files that the patterns select, for a folder that is not made yet: one without ignore files.

    An empty folder is used in its place, because a selection reads the ignore files of an open one.
    """
    with TemporaryDirectory() as empty, Root(fs, empty) as root:
        selection = Selection(root, rules_of(draft))
        return {path: file for path, file in remote.items() if selection.verdict(path).selected}


def _name(names: list[str], path: str) -> None:
    if len(names) < _PLANNED:
        names.append(readable(path))


def _may_be_equal(side: Side, listed: RemoteFile) -> bool:
    """Compare by hash; where the server lists none, by size: a plan does not ask for each file."""
    return side.hash == listed.hash if listed.hash is not None else side.size == listed.size
