"""Conflicts (CF): both sides changed, and nobody's text is lost."""

from __future__ import annotations

from support.processes import Home
from support.servers import Server, sha


def test_cf1_an_edit_on_both_sides_is_parked_and_other_files_go_on(home: Home, server: Server) -> None:
    """Both versions are at hand; a file beside it still syncs."""
    home.write("a.md", "base\n")
    home.write("b.md", "b1\n")
    source = home.link()
    home.write("a.md", "mine\n")
    home.write("b.md", "b2\n")
    server.replace(source, "a.md", "theirs\n")
    report = home.sync(code=3)
    assert report["conflicts"] == 1
    assert home.texts() == {"a.md": "mine\n", "b.md": "b2\n"}
    assert (server.text(source, "a.md"), server.text(source, "b.md")) == ("theirs\n", "b2\n")
    [row] = home.json("conflicts")
    assert (row["path"], row["kind"], row["state"], row["mine"]) == ("a.md", "edit_edit", "open", True)
    assert (row["base_hash"], row["local_hash"], row["remote_hash"]) == (sha("base\n"), sha("mine\n"), sha("theirs\n"))
    shown = home.json("diff", row["id"])
    assert (shown["base"], shown["local"], shown["remote"]) == ("base\n", "mine\n", "theirs\n")
