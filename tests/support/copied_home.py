"""A machine's whole disk, copied: the agent's home and the synced folder, at another place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from support.processes import Home


def copy_home(home: Home, top: Path, name: str) -> Home:
    """Copy a machine whose agent does not run.

    Two folders of one file system stand for two disks, so the copy's registry names its folder here, as it would name
    it at the same place there.
    """
    copy = Home(top, name)
    copy.folder.rmdir()
    copy.folder = copy.path.parent / home.folder.relative_to(home.path.parent)
    copy_contents(home.path.parent, copy.path.parent)
    copy.command, copy.extra = home.command, dict(home.extra)
    name_root(copy)
    return copy


def copy_contents(here: Path, there: Path) -> None:
    """Copy every file and folder below one folder into another one, which may be there; sockets stay behind."""
    shutil.copytree(here, there, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))


def name_root(home: Home) -> None:
    """Let the registry name the folder of this home as the root that was linked."""
    registry = home.path / "registry.json"
    document = json.loads(registry.read_text())
    for row in document["sources"]:
        found = home.folder.stat()
        row |= {"root": str(home.folder), "root_device": found.st_dev, "root_inode": found.st_ino}
    registry.write_text(json.dumps(document))
