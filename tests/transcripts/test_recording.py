"""The recording at the top of the README is a real session."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from transcripts.console import Machine
from transcripts.recording import Shown, comparable_svg, svg
from transcripts.terminal import PLAIN, Style, run_on_terminal, screen

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "session.svg"
COLUMNS = 96
MOST_BYTES = 100_000
SESSION = (
    "raven-agent up ~/notes --once",
    "echo '- Call Bob' >> notes/plans.md && raven-agent sync",
    "rm notes/ideas.md && raven-agent sync",
    "raven-agent history ~/notes/ideas.md",
    "raven-agent restore ~/notes/ideas.md --version 25930e05",
    "cat notes/ideas.md",
)


def with_quiet_times(written: str) -> str:
    """Durations as on a quiet machine, so that the picture does not show how busy the one was that drew it."""
    written = re.sub(r"\b\d+ s ago", lambda found: "2 s ago".ljust(len(found[0])), written)
    return re.sub(r", \d+ s\)", ", 1 s)", written)


def recorded(machine: Machine) -> list[Shown]:
    """Type the session. No agent runs, so that it is always `sync` that sends."""
    (machine.home / "notes").mkdir()
    (machine.home / "notes" / "ideas.md").write_text("# Ideas\n")
    (machine.home / "notes" / "plans.md").write_text("# Plans\n")
    machine.run("raven-agent config set hub_port 8674")
    written = ((command, machine.run_on_terminal(command, COLUMNS)) for command in SESSION)
    return [Shown(command, screen(with_quiet_times(text), COLUMNS)) for command, text in written]


@pytest.mark.long
def test_the_recording_shows_what_a_session_prints(tmp_path: Path) -> None:
    """With ``WRITE_TRANSCRIPTS=1`` the picture is drawn anew, to be looked at before it is kept."""
    with Machine(tmp_path) as machine:
        session = recorded(machine)
    description = "A terminal: a folder is synced, an edit and a delete are sent, and the deleted file comes back."
    drawn = svg("raven-agent in a terminal", description, session, COLUMNS)
    if os.environ.get("WRITE_TRANSCRIPTS"):
        PICTURE.write_text(drawn, "utf-8")
    assert comparable_svg(PICTURE.read_text("utf-8")) == comparable_svg(drawn)


def test_the_recording_is_small_and_needs_nothing_else() -> None:
    """No script, no address besides the name of the format, and no motion for those who want none."""
    text = PICTURE.read_text("utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert re.findall(r"https?://[^\"' )]+", text) == [
        "http://www.w3.org/2000/svg", *re.findall(r"http://127\.0\.0\.1:8674", text)
    ]  # fmt: skip
    assert "<script" not in text and "@import" not in text and "url(" not in text
    before, _, animated = text.partition("@media (prefers-reduced-motion: no-preference) {")
    assert "animation:" not in before and animated.count("animation:") == 2


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a\r\nb\r\n", [[("a", PLAIN)], [("b", PLAIN)]]),
        ("one\rtwo\x1b[K\r\n", [[("two", PLAIN)]]),
        ("half\r\x1b[2Kdone", [[("done", PLAIN)]]),
        ("a\r\nb\x1b[1A\rc", [[("c", PLAIN)], [("b", PLAIN)]]),
        ("\x1b[1;31mno\x1b[0m yes", [[("no", Style(1, True)), (" yes", PLAIN)]]),
        ("\x1b[2mdim\x1b[22m\x1b[92mgreen\x1b[39m", [[("dim", Style(dim=True)), ("green", Style(10))]]),
        ("\x1b[?25lx\x1b[?25h  ", [[("x", PLAIN)]]),
    ],
)
def test_a_screen_shows_what_a_terminal_would(written: str, shown: list[object]) -> None:
    """Carriage returns, erased lines, the cursor moved up, colours."""
    assert screen(written, 80) == shown


def test_a_long_line_goes_on_in_the_next_row() -> None:
    """Each piece keeps its colour."""
    assert screen("abc\x1b[1mdefg\x1b[0m\r\nh", 5) == [
        [("abc", PLAIN), ("de", Style(bold=True))], [("fg", Style(bold=True))], [("h", PLAIN)]
    ]  # fmt: skip


def test_a_command_sees_a_terminal(tmp_path: Path) -> None:
    """Its size too."""
    written = run_on_terminal("test -t 0 && test -t 1 && stty size", {"PATH": os.environ["PATH"]}, tmp_path, 77, 30)
    assert written == "30 77\r\n"
