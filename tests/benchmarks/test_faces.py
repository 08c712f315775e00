"""The same folder through each of the hub's APIs: first push, and first pull onto an empty folder."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import pytest

from benchmarks.measure import Cost, in_turn, run
from benchmarks.sizes import Sizes, shape_of
from benchmarks.table import Group, Line, Table, TimesBaseline
from benchmarks.tree import plant, texts
from support.processes import COMMAND, Home
from support.servers import HubServer

pytestmark = pytest.mark.benchmark_table

_NUMBERS: Final = itertools.count()


@dataclass
class Face:
    """One API of the hub.

    Attributes:
        source: what the newest push made.
    """

    dialect: str
    hub: HubServer
    scratch: Path
    base: str = ""
    source: str = ""

    def _machine(self) -> Home:
        home = Home(self.scratch, f"{self.dialect}-{next(_NUMBERS)}")
        home.command = COMMAND
        flags = ["--name", "hub", "--dialect", self.dialect, "--token-stdin"]
        if self.dialect == "raven":
            flags += ["--workspace", self.hub.workspace]
        signed = home.run("login", self.hub.url + self.base, *flags, stdin=self.hub.token)
        assert signed.code == 0, signed
        return home

    def push(self, files: dict[str, str]) -> Cost:
        """Bring a new folder up onto a source of its own."""
        home = self._machine()
        plant(home.folder, files)
        cost = run([*COMMAND, "up", home.folder, "--server", "hub", "--once", "--yes", "--json"], home.env, home.folder)
        report = orjson.loads(cost.out)["sources"][0]
        assert (report["state"], report["pushed"], report["errors"]) == ("up_to_date", len(files), [])
        self.source = report["id"]
        return cost

    def pull(self, files: dict[str, str]) -> Cost:
        """Bring the newest source down onto an empty folder."""
        home = self._machine()
        command: list[str | Path] = [
            *COMMAND,
            "link",
            home.folder,
            "--yes",
            "--wait",
            "--server",
            "hub",
            "--source",
            self.source,
        ]
        cost = run(command, home.env, home.folder)
        assert home.texts() == files
        return cost


def test_scaidrive_beside_raven(table: Table, hub: HubServer, scratch: Path, sizes: Sizes) -> None:
    """The hub's ScaiDrive API takes and gives small files nearly as fast as Raven's."""
    files = texts(shape_of(sizes.face_files), seed=1)
    raven, drive = Face("raven", hub, scratch), Face("scaidrive", hub, scratch)
    for word, jobs in (
        ("push", (lambda: raven.push(files), lambda: drive.push(files))),
        ("pull", (lambda: raven.pull(files), lambda: drive.pull(files))),
    ):
        plain, ours = in_turn(sizes.rounds, *jobs)
        name = f"first {word} through ScaiDrive's API, {sizes.face_files:,} files"
        for what, figure, baseline in (("", ours.wall, plain.wall), (", the agent's CPU", ours.cpu, plain.cpu)):
            line = Line(
                Group.TRANSFERS, name + what, figure, ("the same through Raven's", baseline), TimesBaseline(1.3)
            )
            table.add(line)
