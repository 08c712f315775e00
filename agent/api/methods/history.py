"""history, show, restore: earlier versions of files, and bringing one of them back."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from agent.api.methods.common import (
    RequestRefused,
    first_rows,
    opened_folder,
    parked_paths,
    path_param,
    readable,
    remote_of,
    rows_after,
    stamp_or_none,
)
from agent.api.methods.sync import working_runner
from agent.api.methods.versions import (
    find_version,
    hash_of_version,
    install_version,
    size_of,
    version_content,
    write_version,
)
from agent.api.schema.common import ErrorDocument, PathParams
from agent.api.schema.history import (
    HistoryDocument,
    RestoreDocument,
    RestoreParams,
    ShowDocument,
    ShowParams,
    VersionDocument,
)
from agent.core.errors import RemoteError, UsageError
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry

if TYPE_CHECKING:
    pass


def history(agent: Agent, params: PathParams, *, server_limit: int | None = None) -> HistoryDocument:
    """List the versions of a file on the server and in the local trash, newest first.

    Args:
        server_limit: number of the server's versions that are needed. A page of all of them needs each.

    Raises:
        RemoteError: the server refuses the request.
        UsageError: the path is a folder, or lies in no linked folder.
    """
    source, path = source_over(agent, path_param(params.path, params.path_base64))
    if path == "." or (source.root / path).is_dir():
        raise UsageError(f"{source.root / path} is a folder", "raven-agent files lists its files")
    rows = _trash_versions(agent, source, path)
    problem: ErrorDocument | None = None
    kept = True
    if not is_unlinked(agent, source):
        try:
            kept = remote_of(agent, source).capabilities.history
            rows += _server_versions(agent, source, path, server_limit)
        except RemoteError as error:
            if error.code not in ("offline", "busy", "signed_out", "garbled", "not_found"):
                raise
            if error.code != "not_found":
                # Reported, because a list without the server's versions would look complete.
                problem = ErrorDocument(error.code, error.message)
    rows.sort(key=lambda row: row.recorded_at or "", reverse=True)
    rows = rows_after(rows, [row.id for row in rows], params.after)
    return HistoryDocument(versions=first_rows(rows, params.limit), error=problem, server_history=kept)


def _server_versions(agent: Agent, source: SourceEntry, path: str, limit: int | None = None) -> list[VersionDocument]:
    return [
        VersionDocument(
            # A text can be written again, so that its hash alone does not name a version.
            id=f"{version.hash[:12]}@{version.recorded_at or ''}",
            hash=version.hash,
            size=version.size if version.size is not None else len(version.content or b""),
            recorded_at=version.recorded_at,
            origin=version.origin,
            where="server",
        )
        for version in remote_of(agent, source).history(source.source_id, path, limit)
    ]


def _trash_versions(agent: Agent, source: SourceEntry, path: str) -> list[VersionDocument]:
    with opened_folder(agent, source) as folder:
        return [
            VersionDocument(
                id=entry.id,
                hash=entry.hash,
                size=entry.size,
                recorded_at=stamp_or_none(entry.moved_at),
                origin=entry.reason,
                where="trash",
                trash_id=entry.id,
            )
            for entry in folder.trash.entries_of(path)
        ]


def source_over(agent: Agent, path: str) -> tuple[SourceEntry, str]:
    """Return the link a path lies in, an unlinked one if no other, and the path relative to its root."""
    try:
        return agent.source_over(path)
    except UsageError:
        for one in reversed(agent.registry.unlinked):
            if Path(path).is_relative_to(one.source.root):
                return one.source, Path(path).relative_to(one.source.root).as_posix()
        raise


def is_unlinked(agent: Agent, source: SourceEntry) -> bool:
    """Return True if a link is only remembered for its trash."""
    return all(one.key != source.key for one in agent.registry.sources)


def restore(agent: Agent, params: RestoreParams) -> RestoreDocument:
    """Bring a version back; the text that is there goes to the trash first.

    Raises:
        RequestRefused: the path is parked, the file changed meanwhile, or it cannot be written.
        UsageError: no single version is meant.
    """
    source, path = source_over(agent, path_param(params.path, params.path_base64))
    found = find_version(agent, source, path, params.version or "", params.trash_id)
    if params.to is not None or params.to_base64 is not None:
        target = Path(path_param(params.to, params.to_base64, "to"))
    else:
        target = source.root / path
    if agent.registry.source_over(target) is None:
        write_version(agent, found, target)
        return RestoreDocument(
            changed=True,
            path=readable(str(target)),
            root=None,
            size=size_of(found),
            hash=hash_of_version(found),
            replaced=None,
        )
    source, path = agent.source_over(str(target))
    if path in parked_paths(agent, source):
        raise RequestRefused(f"{path} is parked by a conflict", "raven-agent resolve it first")
    runner = working_runner(agent, source)
    runner.pass_once().result()
    before = _trash_ids(agent, source, path)
    install_version(agent, runner, source, path, found)
    runner.pass_once().result()
    new = [entry_id for entry_id in _trash_ids(agent, source, path) if entry_id not in before]
    return RestoreDocument(
        changed=True,
        path=readable(path),
        root=readable(str(source.root)),
        size=size_of(found),
        hash=hash_of_version(found),
        replaced=new[-1] if new else None,
    )


def _trash_ids(agent: Agent, source: SourceEntry, path: str) -> list[str]:
    with opened_folder(agent, source) as folder:
        return [entry.id for entry in folder.trash.entries_of(path)]


def show(agent: Agent, params: ShowParams) -> ShowDocument:
    """Return the content of one version; without a version, of the one that the server has now.

    Raises:
        RemoteError: the server cannot be asked.
        RequestRefused: the content of the version is kept nowhere.
        UsageError: no single version is meant, or the server has no such file.
    """
    source, path = source_over(agent, path_param(params.path, params.path_base64))
    if params.version is not None:
        content = version_content(agent, source, path, params.version)
    else:
        head = remote_of(agent, source).head(source.source_id, path)
        if head is None:
            raise UsageError(f"the server has no file {path}", "raven-agent history PATH lists versions for --version")
        if head.content is None:
            raise RequestRefused(f"{path} is too large to be shown", "raven-agent sync, and look at the file")
        content = bytes(head.content)
    return ShowDocument(
        path=readable(path),
        hash=hashlib.sha256(content).hexdigest(),
        size=len(content),
        content_base64=base64.b64encode(content).decode("ascii"),
    )
