"""Selected files that are not synced, each counted once, with the reason in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import UNSET, Struct

from agent.api.methods.common import raw_bytes
from agent.api.schema.common import FileError, SkippedFile
from agent.core.model import Reason
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry

_WORDS: Final = {
    Reason.TOO_LARGE: "larger than the server takes",
    Reason.UNREADABLE: "it cannot be read; check its permissions",
    Reason.PLACEHOLDER: "its bytes are in the cloud, not on this disk",
    Reason.NOT_UTF8: "not UTF-8 text",
    Reason.BINARY: "not text",
    Reason.REFUSED: "the server refuses it",
    Reason.NOT_LISTED: "the server does not show it any more and reported no delete; it is kept here",
    Reason.GARBLED: "the server's answer about it is not understood",
    Reason.SHRUNK: "shorter than before at an unchanged modification time, as after a crash; raven-agent retry FILE"
    " takes it as it is, raven-agent restore FILE --version HASH brings back one that raven-agent history FILE lists",
    Reason.LINK: "a link, and links are not followed",
    Reason.BAD_NAME: "its name cannot be synced",
    Reason.TEXT_LOST: "its delete was undone, and its text is nowhere any more",
    Reason.SPECIAL: "neither a file nor a folder",
}


class Skip(Struct, frozen=True):
    """One path that is not synced.

    Attributes:
        path: readable form; bytes that are not UTF-8 as U+FFFD.
        text: the reason in words.
        raw: the path's bytes where it is not UTF-8.
        size: bytes of the file, if known.
    """

    path: str
    reason: Reason
    text: str
    raw: bytes | None = None
    size: int | None = None

    def document(self) -> SkippedFile:
        """Return the form that ``sync`` answers with."""
        return SkippedFile(path=self.path, path_base64=raw_bytes(self.raw), reason=self.reason.value, text=self.text)


def skips(agent: Agent, source: SourceEntry) -> list[Skip]:
    """Return every selected path of a source that is not synced, in path order, each once.

    A path can be in the trees and among the problems; the problem's text says more.
    """

    def read() -> list[Skip]:
        found = {
            row.path: Skip(row.path, row.local.reason, reason_words(row.local.reason), None, row.local.size)
            for row in agent.index.trees.unsendable(source.key)
            if row.local.reason is not None
        }
        for problem in agent.index.problems.all(source.key):
            size = found[problem.path].size if problem.path in found else None
            found[problem.path] = Skip(problem.path, problem.reason, problem.text, problem.raw, size)
        return [found[path] for path in sorted(found)]

    return agent.control.call(read)


def failures(found: Iterable[Skip]) -> list[FileError]:
    """Return those that are not left out by policy: they make a command fail."""
    return [
        FileError(
            path=skip.path,
            path_base64=raw_bytes(skip.raw) if skip.raw is not None else UNSET,
            code=skip.reason.value,
            message=skip.text,
        )
        for skip in found
        if not skip.reason.is_policy
    ]


def not_sent(paths: Sequence[str]) -> str:
    """Return the sentence for files whose last try to be sent failed. They stay queued."""
    if len(paths) == 1:
        return f"{paths[0]}: the last try to send it failed; it is tried again by the next sync"
    return f"the last try to send {len(paths)} files failed; the next sync tries them again. The first is {paths[0]}"


def reason_words(reason: Reason) -> str:
    """Return the reason of a skipped file in words."""
    return _WORDS.get(reason, reason.value.replace("_", " "))
