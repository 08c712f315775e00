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
from agent.disk.selection.rules import IGNORE_FILES
from agent.doctor.machine import room
from agent.doctor.rows import CheckRow, failed, ok, unknown
from agent.settings.links import SourceEntry


@dataclass(frozen=True, slots=True)
class OtherSyncTool:
    """Another program that syncs folders, and the signs of it.

    Attributes:
        marks: patterns of the names it leaves in the folder it syncs, or whole paths there.
        folders: patterns of the name of a folder it syncs, or of a part of the way there.
        ignores: name of the file in which a person lists what it leaves out; empty if there is none in the folder.
    """

    name: str
    marks: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    ignores: str = ""


TOOLS: Final = (
    OtherSyncTool("Syncthing", (".stfolder", ".stfolder (*)"), ignores=".stignore"),
    OtherSyncTool("Maestral", (".maestral.cache",), ignores=".mignore"),
    OtherSyncTool("Dropbox", (".dropbox.cache",), ("Dropbox", "Dropbox (*)")),
    OtherSyncTool("iCloud Drive", (), ("Mobile Documents", "com~apple~CloudDocs", "iCloudDrive")),
    OtherSyncTool("OneDrive", (".849C9593-D756-4E56-8D6E-42412F2A707B",), ("OneDrive", "OneDrive - *", "OneDrive-*")),
    OtherSyncTool(
        "Google Drive", (".tmp.drivedownload", ".tmp.driveupload"), ("Google Drive", "GoogleDrive", "GoogleDrive-*")
    ),
    OtherSyncTool(
        "Nextcloud", (".sync_*.db", "._sync_*.db", ".nextcloudsync.log"), ("Nextcloud",), ".sync-exclude.lst"
    ),
    OtherSyncTool("ownCloud", (".owncloudsync.log",), ("ownCloud",)),
    OtherSyncTool("Resilio Sync", (".sync/ID",), ("Resilio Sync",), ".sync/IgnoreList"),
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
    found = other_tool(root)
    if found is None:
        return ok(check, "none known syncs this folder")
    tool, place = found
    detail = f"{tool.name} syncs {place} as well: each would take the other's work for a person's"
    return failed(check, detail, f"let {tool.name} leave this folder out, or link one outside {place}")


def other_tool(root: Path) -> tuple[OtherSyncTool, Path] | None:
    """Return a known program that syncs a folder as well, and the folder in which its sign was found; None for none."""
    for place in (root, *root.parents):
        if place == place.parent or (place == Path.home() and place != root):
            break
        tool = _tool_at(place)
        if tool is not None:
            return tool, place
    return None


def unread_ignores(root: Path) -> list[str]:
    """Return the names of other programs' ignore files in a folder, none of which is read.

    Empty if the folder has an ignore file that is read: then a person has said what to leave out.
    """
    if any((root / name).is_file() for name in IGNORE_FILES):
        return []
    return [tool.ignores for tool in TOOLS if tool.ignores and (root / tool.ignores).is_file()]


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
