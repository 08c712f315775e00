"""Files of any kind with the embedded hub."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from support.processes import Home

LARGE = bytes(range(256)) * 8192
PICTURE = b"\x89PNG\r\n\xff\x00"


def heads(home: Home) -> dict[str, int]:
    """Path and size of each file that the embedded hub has."""
    query = "SELECT path, size FROM files JOIN contents ON contents.hash = files.hash"
    with closing(sqlite3.connect(home.path / "hub" / "hub.db")) as database:
        return dict(database.execute(query))


def test_up_with_all_files_keeps_images_and_videos(tmp_path: Path) -> None:
    """A picture, a note and a file over 1 MiB are on the hub; a moved and a deleted one follow."""
    home = Home(tmp_path)
    home.write("note.md", "a note\n")
    home.write("picture.png", PICTURE)
    home.write("videos/large.mp4", LARGE)
    first = home.run("up", home.folder, "--all-files", "--once", "--yes")
    assert first.code == 0, first
    assert heads(home) == {"note.md": 7, "picture.png": len(PICTURE), "videos/large.mp4": len(LARGE)}
    stored = [path for path in (home.path / "hub" / "blobs").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in stored] == [LARGE]
    (home.folder / "videos" / "large.mp4").rename(home.folder / "moved.mp4")
    (home.folder / "picture.png").unlink()
    again = home.run("up", home.folder, "--once")
    assert again.code == 0, again
    assert heads(home) == {"note.md": 7, "moved.mp4": len(LARGE)}
    assert home.run("up", home.folder, "--all-files", "--server", "other", "--once").code != 0
