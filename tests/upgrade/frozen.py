"""What a release leaves on a disk, frozen: its index, its hub's data, its registry, as text.

``python tests/upgrade/frozen.py FOLDER`` makes such a folder with the program as it stands. It is done once for every
release that changes a schema; the folders of earlier ones are never touched again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import tempfile
from pathlib import Path

RELEASES = Path(__file__).parents[1] / "fixtures" / "releases"
QUEUED, MINE, THEIRS = "an edit that waits for the server\n", "written here\n", "written there\n"
KEPT = {f"kept/{number}.md": f"kept since the first release, {number}\n" for number in range(3)}


def dump(database: Path) -> str:
    """The whole database as SQL."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return "\n".join([*connection.iterdump(), f"PRAGMA user_version = {version};", ""])


def thaw(sql: Path, database: Path) -> None:
    """The database a dump was made of."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.executescript(sql.read_text("utf-8"))
    database.chmod(0o600)


def freeze(target: Path) -> None:
    """A home with synced files, a deleted one, a parked conflict and an edit that waits; and its server."""
    from support.processes import Home
    from support.servers import HubServer

    with tempfile.TemporaryDirectory() as top:
        home, data = Home(Path(top), "one"), Path(top) / "hub"
        with HubServer.serving(data) as server:
            home.login(server)
            for path, text in {**KEPT, "gone.md": "deleted\n", "both.md": "base\n", "queued.md": "base\n"}.items():
                home.write(path, text)
            source = home.link()
            (home.folder / "gone.md").unlink()
            home.sync(code=0)
            home.write("both.md", MINE)
            server.replace(source, "both.md", THEIRS)
            home.sync(code=3)
        home.write("queued.md", QUEUED)
        home.sync()
        target.mkdir(parents=True)
        (target / "index.sql").write_text(dump(home.path / "index.sqlite"), "utf-8")
        (target / "hub.sql").write_text(dump(data / "hub.db"), "utf-8")
        registry = json.loads((home.path / "registry.json").read_text())
        (target / "registry.json").write_text(json.dumps(registry, indent=1).replace(top, "/home/ada"))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    freeze(Path(sys.argv[1]))
