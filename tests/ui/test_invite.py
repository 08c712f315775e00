"""Inviting another machine in the dashboard: a line and a QR code, each good once."""

from __future__ import annotations

import re
from pathlib import Path

import segno

from agent.api.methods.invites import refusal
from agent.core.errors import UsageError
from agent.ui.qr_code import QUIET, qr_code
from agent.ui.server import USUAL_PORT
from support.processes import Home
from ui.http_visit import plain_browser, text_of


def test_a_machine_joins_with_the_line_of_the_page(tmp_path: Path) -> None:
    """The page shows a line and its QR code; the line works once, and no later page has it."""
    one, two = Home(tmp_path, "one"), Home(tmp_path, "two")
    one.write("a.md", "one\n")
    assert one.run("up", one.folder, "--once").code == 0
    with one.daemon() as daemon, plain_browser(daemon) as browser:
        answer = browser.post("/servers/invite", listen="127.0.0.1:0")
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
        assert "No other machine can reach" in answer.text and "since now" in answer.text
        line = re.findall(r"<code>raven-agent join (raven1_[\w-]+)</code>", answer.text)[0]
        assert f'd="{qr_code(line).path}"' in answer.text
        two.json("join", line, two.folder)
        assert two.run("sync").code == 0 and two.texts() == {"a.md": "one\n"}
        again = two.run("join", line)
        assert again.code == 4 and "used already" in again.err
        assert "raven1_" not in browser.get("/servers") and "127.0.0.1:0" in text_of(browser.get("/servers"))
        refused = browser.post("/servers/invite", listen="no address")
        assert refused.status_code == 409 and "hub_listen is HOST:PORT" in refused.text
        page = browser.submit(answer.text, "/settings")
        assert "hub_listen" in text_of(page) and daemon.call("ensure_local_hub")["listen"] is None


def test_a_qr_path_draws_exactly_the_dark_modules() -> None:
    """Each run of the path is a run of dark modules, with a quiet border around the code."""
    text = "raven1_" + "A-_" * 40
    code = qr_code(text)
    drawn = set()
    for x, y, length, back in re.findall(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", code.path):
        assert length == back
        drawn |= {(int(x) + step, int(y)) for step in range(int(length))}
    matrix = [list(row) for row in segno.make(text, error="m", micro=False).matrix]
    dark = {(x + QUIET, y + QUIET) for y, row in enumerate(matrix) for x, module in enumerate(row) if module}
    assert drawn == dark and code.size == len(matrix) + 2 * QUIET
    assert re.fullmatch(r"(M\d+ \d+h\d+v1h-\d+z)+", code.path)


def test_an_error_of_the_command_keeps_its_words() -> None:
    """The reason and the remedy of the command are those of the page; a broken answer is an error too."""
    found = refusal('{"error": {"code": "usage", "message": "no address", "hint": "connect it"}}')
    assert isinstance(found, UsageError) and (found.message, found.hint) == ("no address", "connect it")
    assert refusal('{"error": {"code": "hub", "message": "m", "hint": null}}').code == "hub"
    for broken in ("", "Traceback", "[]", '{"error": {}}', "null"):
        assert refusal(broken).message == "the hub gave no invite"


def test_the_dashboard_and_the_hub_have_two_ports() -> None:
    """Listening on a port for all addresses fails while another listener has it on one: an invite needs both."""
    from agent.core.net import DEFAULT_DOOR_PORT
    from agent.settings.settings import TABLE

    assert len({USUAL_PORT, DEFAULT_DOOR_PORT, TABLE["hub_port"].default}) == 3
