"""Checks of each linked folder: presence, permissions, safe installs, free space, other sync tools."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from shlex import quote
from typing import Final

from agent.core.errors import AgentError
from agent.core.paths import OWN_NAME
from agent.disk.fs.protocol import Fs
from agent.doctor.machine import room
from agent.doctor.rows import CheckRow, failed, ok, unknown
from agent.settings.links import SourceEntry


@dataclass(frozen=True, slots=True)
class OtherSyncTool:
    """Another program that syncs folders, and the signs of it.

    Attributes:
        marks: patterns of the names it leaves in the folder it syncs, or whole paths there.
        folders: patterns of the name of a folder it syncs, or of a part of the way there.
    """

    name: str
    marks: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


TOOLS: Final = (
    OtherSyncTool("Syncthing", (".stfolder", ".stfolder (*)")),
    OtherSyncTool("Dropbox", (".dropbox.cache",), ("Dropbox", "Dropbox (*)")),
    OtherSyncTool("iCloud Drive", (), ("Mobile Documents", "com~apple~CloudDocs", "iCloudDrive")),
    OtherSyncTool("OneDrive", (".849C9593-D756-4E56-8D6E-42412F2A707B",), ("OneDrive", "OneDrive - *", "OneDrive-*")),
    OtherSyncTool(
        "Google Drive", (".tmp.drivedownload", ".tmp.driveupload"), ("Google Drive", "GoogleDrive", "GoogleDrive-*")
    ),
    OtherSyncTool("Nextcloud", (".sync_*.db", "._sync_*.db", ".nextcloudsync.log"), ("Nextcloud",)),
    OtherSyncTool("ownCloud", (".owncloudsync.log",), ("ownCloud",)),
    OtherSyncTool("Resilio Sync", (".sync/ID",), ("Resilio Sync",)),
    OtherSyncTool("Seafile", (".seafile-data",), ("Seafile",)),
    OtherSyncTool("MEGA", (".megaignore",), ("MEGAsync",)),
)
"""Known tools. A sign counts in the folder and above it, up to the home folder, whose own files prove nothing."""


def folder(
    source: SourceEntry, fs: Fs, state_dir: Path, problem: str | None, degraded: str | None
) -> Iterator[CheckRow]:
    """Make all checks of one linked folder.

    Args:
        problem: the reason why the folder is not the linked one, or cannot be opened; None if it can.
        degraded: the reason why changes are noticed late; None if they are not.
    """
    check, root = f"folder {source.name}", source.root
    if problem is not None:
        yield failed(check, problem, f"put it back, or if it moved: raven-agent move {quote(str(root))} NEW")
        return
    yield ok(check, f"{root} is the one that was linked")
    yield _permissions(f"permissions {source.name}", root)
    yield _swap(f"swap {source.name}", source, fs, state_dir)
    yield room(f"free space {source.name}", root)
    yield _others(f"other tools {source.name}", root)
    if degraded is not None:
        remedy = "raise the limit (see watches), or leave out folders: raven-agent rules"
        yield failed(f"watching {source.name}", degraded, remedy)


def _permissions(check: str, root: Path) -> CheckRow:
    try:
        mode = stat.S_IMODE(root.stat().st_mode)
    except OSError as error:
        return failed(check, f"{root}: {error.strerror}", f"chmod u+rwx {root}")
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        return failed(check, f"{root} ({mode:o}) cannot be read and written by this user", f"chmod u+rwx {root}")
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return failed(check, f"anybody can write into {root} ({mode:o})", f"chmod o-w {root}")
    return ok(check, f"can be read and written ({mode:o})")


def _swap(check: str, source: SourceEntry, fs: Fs, state_dir: Path) -> CheckRow:
    """Try the swap in the agent's own folder, if it exists. Nothing is left there."""
    same_disk = state_dir.exists() and state_dir.stat().st_dev == source.root.stat().st_dev
    slots = (state_dir if same_disk else source.root / OWN_NAME) / "slots" / str(source.key)
    if not slots.is_dir():
        return unknown(check, "tried with the first file that is put in place")
    try:
        handle = fs.open_root(str(slots))
        try:
            return ok(check, f"files are put in place by {fs.swap_primitive(handle)}")
        finally:
            fs.close(handle)
    except (OSError, AgentError) as error:
        return failed(check, f"{slots}: {error}", f"check the disk of {slots}, and that it can be written")


def _others(check: str, root: Path) -> CheckRow:
    for place in (root, *root.parents):
        if place == place.parent or (place == Path.home() and place != root):
            break
        found = _tool_at(place)
        if found is not None:
            detail = f"{found.name} syncs {place} as well: each would take the other's work for a person's"
            return failed(check, detail, f"let {found.name} leave this folder out, or link one outside {place}")
    return ok(check, "none known syncs this folder")


def _tool_at(place: Path) -> OtherSyncTool | None:
    try:
        names = [entry.name for entry in place.iterdir()]
    except OSError:
        names = []
    for tool in TOOLS:
        if any(fnmatch(place.name, pattern) for pattern in tool.folders):
            return tool
        if any(fnmatch(name, pattern) for pattern in tool.marks for name in names):
            return tool
        if any((place / mark).exists() for mark in tool.marks if "/" in mark):
            return tool
    return None
