"""The two pictures of the README, made from the real pages.

``UI_PICTURES=docs/pictures pytest -n 0 tests/ui/test_pictures.py`` writes them again after a change of the look.
"""

from __future__ import annotations

import os
from pathlib import Path

from support.processes import Home
from support.servers import HubServer
from ui.browsing import chromium
from ui.world import World, signed_in

_WINDOW = {"width": 1080, "height": 620}
_PLAN = "# Garden\n\n- sow peas in March\n- prune the apple tree\n- order seed potatoes\n"


def test_the_pictures_of_the_readme(tmp_path: Path, shared_hub: HubServer) -> None:
    """Three folders in their states in light colours, and the history of one file in dark ones; each is small."""
    home = Home(tmp_path, "ada")
    home.extra["HOME"] = str(tmp_path / "ada")
    home.login(shared_hub)
    home.write("garden.md", _PLAN)
    for name in ("ideas.md", "journal/monday.md", "journal/tuesday.md"):
        home.write(name, f"{name}\n" * 40)
    notes = home.link()
    recipes, letters = (home.folder.parent / name for name in ("recipes", "letters"))
    for folder, file in ((recipes, "soup.md"), (letters, "to-ben.md")):
        folder.mkdir()
        (folder / file).write_text("first\n")
        home.run("link", folder, "--yes", "--wait")
    home.write("garden.md", _PLAN.replace("March", "April") + "- mend the fence\n")
    home.run("sync")
    source = next(one["id"] for one in home.json("status")["sources"] if one["name"] == "recipes")
    (recipes / "soup.md").write_text("with leeks\n")
    shared_hub.replace(source, "soup.md", "with carrots\n")
    home.run("sync")
    target = Path(os.environ.get("UI_PICTURES") or tmp_path)
    target.mkdir(parents=True, exist_ok=True)
    with home.daemon() as daemon, chromium() as browser:
        daemon.call("pause", folder=str(letters), seconds=3600.0)
        world = World(home, daemon, notes, shared_hub)
        for name, colours, path in (
            ("overview", "light", "/"),
            ("history", "dark", world.at("history", "garden.md")),
        ):
            with signed_in(browser, world, viewport=_WINDOW, color_scheme=colours) as watched:
                page = watched.go(path)
                page.screenshot(path=target / f"dashboard-{name}-{colours}.png")
                assert watched.troubles == []
            assert 5_000 < (target / f"dashboard-{name}-{colours}.png").stat().st_size < 120_000
