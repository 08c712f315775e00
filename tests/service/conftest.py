"""A person with a home of their own, and service managers that are played."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service import fake_managers
from service.called_as_script import SCRIPT as SCRIPT
from support.fork_server import PRELUDE
from support.processes import Home, Ran


@dataclass
class Person:
    """Somebody who types commands.

    Attributes:
        home: the agent's home and the linked folder.
        person: the home folder.
        played: where the managers' commands and memories are.
    """

    home: Home
    person: Path
    played: Path

    @property
    def unit(self) -> Path:
        """The unit file of their own systemd."""
        return self.person / ".config" / "systemd" / "user" / "raven-agent.service"

    def service(self, *words: str, code: int = 0) -> Ran:
        """``raven-agent service ...``, by the script as people call it."""
        ran = self.home.run("service", *words)
        assert ran.code == code, ran
        return ran

    def files(self) -> set[str]:
        """Everything in the home folder but what the agent itself keeps."""
        return {str(file.relative_to(self.person)) for file in self.person.rglob("*") if file.is_file()}

    def said(self) -> list[str]:
        """What was said to the managers so far, questions apart; none of it may have been refused."""
        assert fake_managers.refused(self.played) == []
        return fake_managers.said(self.played)


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """Somebody whose systemd is played, and whose program is installed for good as far as the computer knows."""
    played = fake_managers.install(tmp_path)
    home = Home(tmp_path)
    folder = tmp_path / "person"
    folder.mkdir()
    (tmp_path / "temporary").mkdir()
    home.extra = {
        "HOME": str(folder),
        "PATH": f"{played}:{os.environ['PATH']}",
        # The tests' own folders must not count as temporary ones.
        "TMPDIR": str(tmp_path / "temporary"),
        "SUDO_USER": "root",
        PRELUDE: "service.called_as_script",
    }
    yield Person(home, folder, played)
    fake_managers.finish(played)
