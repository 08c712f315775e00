"""Other programs that keep two folders alike, each doing the whole job once; those that are not installed are skipped.

Each gets two folders of its own on this machine, with nothing but a loopback between them.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import psutil

from benchmarks.measure import Cost, cpu_of, memory_of, run
from benchmarks.prototypes import walk
from benchmarks.tree import plant

_PATIENCE_SECONDS: Final = 900.0
_LOOK_SECONDS: Final = 0.05
_CLOSE_LOOK_SECONDS: Final = 0.001
_KEY: Final = "figures"


@dataclass(frozen=True, slots=True)
class OneShot:
    """A program that is run whenever the folders should be alike.

    Attributes:
        first, second: the folders; the first one is full, the second one empty.
        command: run by every ``bring``.
        begin: put behind the command the first time.
    """

    name: str
    first: Path
    second: Path
    command: Sequence[str]
    begin: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def bring(self) -> Cost:
        """Run it to its end."""
        began = any(self.second.iterdir())
        return run([*self.command, *(() if began else self.begin)], {**os.environ, **self.env})


def one_shot(name: str, top: Path) -> OneShot:
    """The program of this name with folders of its own below ``top``."""
    first, second, state = (top / part for part in ("first", "second", "state"))
    for folder in (first, second, state):
        folder.mkdir(parents=True)
    return _MAKERS[name](first, second, state)


def _rsync(first: Path, second: Path, _state: Path) -> OneShot:
    return OneShot("rsync -a", first, second, ("rsync", "-a", "--delete", f"{first}/", f"{second}/"))


def _unison(first: Path, second: Path, state: Path) -> OneShot:
    flags = ("-batch", "-auto", "-ui", "text", "-times", "-confirmbigdel=false", "-logfile", str(state / "log"))
    env = {"UNISON": str(state), "HOME": str(state)}
    return OneShot("unison", first, second, ("unison", str(first), str(second), *flags), env=env)


def _rclone(first: Path, second: Path, state: Path) -> OneShot:
    flags = ("--workdir", str(state), "--max-delete", "100")
    (state / "rclone.conf").touch()
    env = {"RCLONE_CONFIG": str(state / "rclone.conf"), "HOME": str(state)}
    command = ("rclone", "bisync", str(first), str(second), *flags)
    return OneShot("rclone bisync", first, second, command, ("--resync",), env)


_MAKERS: Final[Mapping[str, Callable[[Path, Path, Path], OneShot]]] = {
    "rsync": _rsync,
    "unison": _unison,
    "rclone": _rclone,
}


def git_status(folder: Path, state: Path) -> Cost:
    """``git status`` of a folder whose every file it knows: a look at everything that finds nothing."""
    git = ("git", "--git-dir", str(state / "git"), "--work-tree", str(folder))
    env = {**os.environ, "HOME": str(state)}
    if not (state / "git").exists():
        state.mkdir(parents=True, exist_ok=True)
        run(["git", "init", "-q", "--bare", state / "git"], env)
        run([*git, "config", "core.bare", "false"], env)
        run([*git, "add", "-A"], env)
    return run([*git, "status", "--porcelain", "--untracked-files=no"], env)


class Syncthing:
    """Two of it, a folder each, connected over the loopback.

    Args:
        delay: seconds it waits for more changes after one it was told of; 10 is its own default.
    """

    name = "syncthing"

    def __init__(self, top: Path, delay: int = 1) -> None:
        self.first, self.second = top / "first", top / "second"
        self._homes = (top / "one", top / "two")
        self._api = (18_384, 18_385)
        self._ports = (22_001, 22_002)
        self._delay = delay
        self._running: list[subprocess.Popen[bytes]] = []
        self._env = {**os.environ, "HOME": str(top), "STNODEFAULTFOLDER": "1", "STNOUPGRADE": "1"}

    def bring(self) -> Cost:
        """Start both and wait until the second one has all the first one has."""
        self._configure()
        began = time.perf_counter()
        for home in self._homes:
            command = ["syncthing", "serve", f"--home={home}", "--no-browser", "--no-restart"]
            self._running.append(subprocess.Popen(command, env=self._env, stdout=subprocess.DEVNULL))
        files = sum(1 for _ in walk(str(self.first)))
        self._wait(0, lambda told: told["state"] == "idle" and told["localFiles"] == files)
        self._wait(1, lambda told: told["state"] == "idle" and told["localFiles"] == files and not told["needFiles"])
        return Cost(time.perf_counter() - began, self.cpu())

    def arrive(self, content: Mapping[str, str]) -> float:
        """Seconds from saves in the first folder until the second one has all of them."""
        began = time.perf_counter()
        plant(self.first, dict(content))
        for path, wanted in content.items():
            while not _holds(self.second / path, wanted.encode()):
                assert time.perf_counter() - began < _PATIENCE_SECONDS, path
                time.sleep(_CLOSE_LOOK_SECONDS)
        return time.perf_counter() - began

    def cpu(self) -> float:
        """Seconds of processor both have used so far."""
        return sum(cpu_of(process.pid) for one in self._running for process in _family(one.pid))

    def peak(self) -> int:
        """Bytes of memory the larger one had at its worst moment."""
        return max(memory_of(process.pid).peak for one in self._running for process in _family(one.pid))

    def __enter__(self) -> Syncthing:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(30)

    def _configure(self) -> None:
        """Give each a key, then tell it of the other and of its folder, and of nobody else in the world."""
        for home in self._homes:
            subprocess.run(
                ["syncthing", "generate", f"--home={home}"], env=self._env, check=True, stdout=subprocess.DEVNULL
            )
        made = [ElementTree.parse(home / "config.xml") for home in self._homes]
        ids = [_own_id(tree.getroot()) for tree in made]
        folders = (self.first, self.second)
        for number, (home, tree) in enumerate(zip(self._homes, made, strict=True)):
            root = tree.getroot()
            for old in (*root.findall("folder"), *root.findall("device")):
                root.remove(old)
            shared = {"id": "notes", "path": str(folders[number]), "type": "sendreceive", "rescanIntervalS": "3600"}
            watching = {"fsWatcherEnabled": "true", "fsWatcherDelayS": str(self._delay)}
            folder = ElementTree.SubElement(root, "folder", {**shared, **watching})
            for other, name in enumerate(ids):
                ElementTree.SubElement(folder, "device", id=name)
                device = ElementTree.SubElement(root, "device", id=name, name=str(other))
                ElementTree.SubElement(device, "address").text = f"tcp://127.0.0.1:{self._ports[other]}"
            self._alone(root, number)
            tree.write(home / "config.xml")

    def _alone(self, root: ElementTree.Element, number: int) -> None:
        gui, options = root.find("gui"), root.find("options")
        assert gui is not None and options is not None
        _set(gui, "address", f"127.0.0.1:{self._api[number]}")
        _set(gui, "apikey", _KEY)
        for old in options.findall("listenAddress"):
            options.remove(old)
        _set(options, "listenAddress", f"tcp://127.0.0.1:{self._ports[number]}")
        for name in ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled", "startBrowser"):
            _set(options, name, "false")
        for name in ("urAccepted", "autoUpgradeIntervalH"):
            _set(options, name, "-1" if name == "urAccepted" else "0")
        _set(options, "reconnectionIntervalS", "1")

    def _wait(self, number: int, right: Callable[[Mapping[str, Any]], bool]) -> None:
        url = f"http://127.0.0.1:{self._api[number]}/rest/db/status?folder=notes"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            # It does not answer at first, and then not with everything.
            with contextlib.suppress(OSError, KeyError):
                asked = urllib.request.Request(url, headers={"X-API-Key": _KEY})
                with urllib.request.urlopen(asked, timeout=60) as answer:
                    if right(json.load(answer)):
                        return
            time.sleep(_LOOK_SECONDS)
        raise AssertionError("syncthing does not come to rest")


def _own_id(root: ElementTree.Element) -> str:
    device = root.find("device")
    assert device is not None
    return device.attrib["id"]


def _holds(file: Path, wanted: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return file.read_bytes() == wanted
    return False


def _set(parent: ElementTree.Element, name: str, text: str) -> None:
    found = parent.find(name)
    (ElementTree.SubElement(parent, name) if found is None else found).text = text


def _family(pid: int) -> list[psutil.Process]:
    """A process and everything it started."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
