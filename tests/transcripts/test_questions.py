"""The ten questions of ``docs/questions.md``: each command prints the answer beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fixtures import shared_hub as shared_hub
from support.processes import Home
from support.servers import HubServer
from transcripts.console import comparable

_ROW = re.compile(r"^\| (.+?\?) \| `raven-agent (.+?)` \| `(.+?)` \|$", re.MULTILINE)
ROWS = _ROW.findall((Path(__file__).parents[2] / "docs" / "questions.md").read_text("utf-8"))


@pytest.fixture(scope="module")
def laptop(shared_hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A laptop with a conflict, and a desktop that lacks the newest change."""
    top = tmp_path_factory.mktemp("questions")
    laptop, desktop = (Home(top, name) for name in ("laptop", "desktop"))
    for home in (laptop, desktop):
        home.extra["HOME"] = str(home.folder.parent)
        home.extra["RAVEN_AGENT_MACHINE_NAME"] = home.name
        home.login(shared_hub)
    laptop.write("ideas.md", "one\n")
    laptop.write("plan.md", "base\n")
    laptop.write("sketch.png", "no text")
    source = laptop.link()
    desktop.link("--source", source)
    laptop.write("plan.md", "from the laptop\n")
    shared_hub.replace(source, "plan.md", "from the browser\n")
    laptop.sync(code=3)
    desktop.sync()
    laptop.write("ideas.md", "one, two\n")
    laptop.sync(code=3)
    yield laptop


def test_there_are_ten_questions() -> None:
    """One row each, and every row is read."""
    assert len(ROWS) == 10 == len({question for question, _, _ in ROWS})


@pytest.mark.long
@pytest.mark.parametrize(("question", "command", "answer"), ROWS, ids=[row[0] for row in ROWS])
def test_a_question_is_answered_as_the_document_says(laptop: Home, question: str, command: str, answer: str) -> None:
    """The output has this line, but for times."""
    words = [word.replace("~", str(laptop.folder.parent), 1) for word in command.split()]
    ran = laptop.run(*words)
    assert ran.code == 0, ran
    lines = [line.strip() for line in comparable(ran.out).splitlines()]
    assert comparable(answer) in lines, ran.out
