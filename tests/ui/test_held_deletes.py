"""Held deletes in the dashboard: approved, and brought back after that; over HTTP, a daemon and a hub."""

from __future__ import annotations

from pathlib import Path

from support.eventually import eventually
from support.processes import Home
from support.servers import HubServer
from ui.http_visit import forms, plain_browser, text_of


def test_approved_deletes_can_be_brought_back(tmp_path: Path) -> None:
    """The undo of an approval shows the files first. The page of servers shows how far this machine has come."""
    home = Home(tmp_path)
    texts = {f"n{number}.md": f"{number}\n" for number in range(14)}
    for name, text in texts.items():
        home.write(name, text)
    with HubServer.serving(tmp_path / "hub") as hub:
        home.login(hub)
        source = home.link("--name", "team")
        for name in list(texts)[:12]:
            (home.folder / name).unlink()
        with home.daemon() as daemon, plain_browser(daemon) as browser:
            eventually(lambda: daemon.source()["held_deletes"], 20, "the deletes are held")
            (approve,) = [form for form in forms(browser.get("/"))["/sync"] if "approve" in form]
            browser.post("/sync", **approve)
            page = browser.get("/")
            assert "12 deletes went through" in text_of(page) and len(home.texts()) == 2

            look = f"/rewind/{source}/look"
            plan = browser.get(browser.post(look, **forms(page)[look][0]).headers["location"])
            assert "n11.md" in text_of(plan) and len(home.texts()) == 2
            (change,) = forms(plan)[f"/rewind/{source}"][-1:]
            browser.post(f"/rewind/{source}", **change)
            assert home.texts() == texts

            servers = text_of(browser.get("/servers"))
            assert "How far each machine has come" in servers and "every change" in servers
