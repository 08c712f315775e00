"""A linked machine that is prepared once, and copied for each test; its server is put back to the same moment."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strict_raven import State
from support.copied_home import copy_contents, name_root
from support.processes import Home
from support.servers import StrictServer
from support.small_disk import fill, mounted

NEWS: Final = "theirs\n" * 40_000
"""A text of the server that does not fit on a full disk."""
COUNT: Final = 20
_HELD: Final = 15
_LONG_AGO: Final = "20200101T000000Z"


class Disk(enum.Enum):
    """The small disk that a machine has, if any."""

    NONE = enum.auto()
    FOLDER = enum.auto()
    STATE = enum.auto()


@dataclass(frozen=True)
class Moment:
    """How a machine stands when a test begins.

    Attributes:
        parked: a.md is parked in a conflict.
        held: fifteen deletes are held.
        disk: what lies on a disk of its own.
    """

    parked: bool = False
    held: bool = False
    disk: Disk = Disk.NONE


@dataclass(frozen=True)
class Prepared:
    """One machine as it was left.

    Attributes:
        place: a copy of it on an ordinary disk.
        state: what the server held then.
        source: the source's id.
    """

    place: Path
    state: State
    source: str


class PreparedHomes:
    """Machines in step with the strict server but for an edit here and a new file there.

    The folder holds n0.md to n19.md and the edited a.md; the server has news.md besides. The trash holds an entry that
    is older than it keeps them, and a fresh one of kept.md.

    Attributes:
        server: of all of them.
    """

    def __init__(self, top: Path, server: StrictServer) -> None:
        self.server = server
        self._top = top
        self._made: dict[Moment, Prepared] = {}

    @contextlib.contextmanager
    def at(self, moment: Moment, top: Path) -> Iterator[tuple[Home, str]]:
        """A machine of its own below ``top``, and the id of its source; the server is put back to that moment."""
        if moment not in self._made:
            self._made[moment] = self._prepare(moment, self._top / f"moment-{len(self._made)}")
        prepared = self._made[moment]
        home = _new_home(top)
        with _small_disk(home, moment.disk):
            copy_contents(prepared.place, home.path.parent)
            name_root(home)
            self.server.up()
            self.server.faulty.clear()
            self.server.raven.restore(prepared.state)
            yield home, prepared.source

    def _prepare(self, moment: Moment, top: Path) -> Prepared:
        self.server.up()
        self.server.raven.restore(State())
        home = _new_home(top)
        with _small_disk(home, moment.disk):
            source = _filled(home, self.server)
            home.write("a.md", "mine\n")
            if moment.parked:
                self.server.replace(source, "a.md", "theirs\n")
                home.sync(code=3)
            if moment.held:
                delete_many(home)
                home.sync(code=6)
            self.server.put(source, "news.md", NEWS)
            place = top / "left"
            copy_contents(home.path.parent, place)
        return Prepared(place, self.server.raven.snapshot(), source)


def _new_home(top: Path) -> Home:
    home = Home(top)
    home.folder.rmdir()
    home.folder = home.path.parent / "disk" / "notes"
    return home


def _filled(home: Home, server: StrictServer) -> str:
    """Link a folder of small files, with two replaced ones in the trash; the source's id."""
    home.folder.mkdir(parents=True)
    home.login(server)
    for number in range(COUNT):
        home.write(f"n{number}.md", f"{number}\n")
    for path in ("a.md", "old.md", "kept.md"):
        home.write(path, "base\n")
    source = home.link()
    for path in ("old.md", "kept.md"):
        server.replace(source, path, "newer\n")
    home.sync(code=0)
    [old] = trash_files(home, "old.md")
    old.rename(old.with_name(old.name.replace(old.name.partition("-")[0], _LONG_AGO)))
    return source


def trash_files(home: Home, path: str) -> list[Path]:
    """The files in the trash that stood at this path."""
    return [file for file in home.path.parent.rglob(f"*Z-*-{path}") if file.is_file()]


def delete_many(home: Home) -> None:
    """Delete more than the brake lets through."""
    for number in range(_HELD):
        (home.folder / f"n{number}.md").unlink()


@contextlib.contextmanager
def _small_disk(home: Home, disk: Disk) -> Iterator[None]:
    home.folder.parent.mkdir(parents=True, exist_ok=True)
    if disk is Disk.NONE:
        yield
        return
    place, size = (home.folder.parent, "1m") if disk is Disk.FOLDER else (home.path, "8m")
    place.mkdir(exist_ok=True)
    with mounted(place, size):
        yield


Strike = Callable[[Home, StrictServer], None]


def _nothing(_home: Home, _server: StrictServer) -> None:
    """For a fault that is there when the machine is prepared."""


def _stop_server(_home: Home, server: StrictServer) -> None:
    server.down()


def _forget_token(home: Home, _server: StrictServer) -> None:
    (home.path / "credentials.json").unlink()


def moved_folder(home: Home) -> Path:
    """The place to which the folder is moved."""
    return home.folder.with_name("elsewhere")


def move_folder(home: Home) -> None:
    """Move the folder away, unless it is gone already."""
    if home.folder.is_dir():
        home.folder.rename(moved_folder(home))


def _fill_folder_disk(home: Home, _server: StrictServer) -> None:
    fill(home.folder.parent / "ballast.bin")


def _fill_state_disk(home: Home, _server: StrictServer) -> None:
    fill(home.path / "ballast.bin")


@dataclass(frozen=True)
class Fault:
    """Trouble that a command meets.

    Attributes:
        moment: how the machine stands before.
        strike: then makes the trouble.
    """

    name: str
    moment: Moment = Moment()
    strike: Strike = _nothing


OFFLINE: Final = Fault("offline", strike=_stop_server)
SIGNED_OUT: Final = Fault("signed_out", strike=_forget_token)
HELD: Final = Fault("held", Moment(held=True))
HALTED: Final = Fault("halted", strike=lambda home, _server: move_folder(home))
CONFLICT: Final = Fault("conflict", Moment(parked=True))
FULL_FOLDER: Final = Fault("full_folder", Moment(disk=Disk.FOLDER), _fill_folder_disk)
FULL_STATE: Final = Fault("full_state", Moment(disk=Disk.STATE), _fill_state_disk)
FAULTS: Final = (OFFLINE, SIGNED_OUT, HELD, HALTED, CONFLICT, FULL_FOLDER, FULL_STATE)


def lift(home: Home, server: StrictServer) -> None:
    """Make a proof possible: the server answers, and both disks have room."""
    server.up()
    for folder in (home.folder.parent, home.path):
        (folder / "ballast.bin").unlink(missing_ok=True)


def words_for(home: Home, command: str) -> list[str]:
    """The words of a command, with its paths below this machine's folder: ``.`` and names of documents."""
    return [
        str(home.folder) if word == "." else str(home.folder / word) if word.endswith(".md") else word
        for word in command.split()
    ]
