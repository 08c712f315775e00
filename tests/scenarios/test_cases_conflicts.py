"""Conflicts (CF): both sides changed, and nobody's text is lost."""

from __future__ import annotations

import pytest

from scenarios.conftest import Machines, on_both
from support.eventually import eventually
from support.processes import Home
from support.servers import Server, StrictServer, page_changed, sha
from support.wait_idle import assert_equal, lost, settle


def parked(home: Home, server: Server, path: str = "a.md") -> str:
    """A source with one edit parked against another at ``path``; its id."""
    home.write(path, "base\n")
    source = home.link()
    home.write(path, "mine\n")
    server.replace(source, path, "theirs\n")
    home.sync(code=3)
    return source


def test_cf1_an_edit_on_both_sides_is_parked_alone(home: Home, server: Server) -> None:
    """Both versions are at hand; a file beside it still syncs, both ways."""
    home.write("b.md", "b1\n")
    source = parked(home, server)
    home.write("b.md", "b2\n")
    server.put(source, "c.md", "c\n")
    report = home.sync(code=3)
    assert (report["conflicts"], report["state"]) == (1, "conflict")
    assert home.texts() == {"a.md": "mine\n", "b.md": "b2\n", "c.md": "c\n"}
    assert (server.text(source, "a.md"), server.text(source, "b.md")) == ("theirs\n", "b2\n")
    [row] = home.json("conflicts")
    assert (row["path"], row["kind"], row["state"], row["mine"]) == ("a.md", "edit_edit", "open", True)
    assert (row["base_hash"], row["local_hash"], row["remote_hash"]) == (sha("base\n"), sha("mine\n"), sha("theirs\n"))
    shown = home.json("diff", row["id"])
    assert (shown["base"], shown["local"], shown["remote"]) == ("base\n", "mine\n", "theirs\n")


@on_both
def test_cf2_each_resolution_converges_and_the_loser_is_kept(home: Home, server: Server) -> None:
    """The winner stands on both sides; ``history`` shows every loser and ``restore`` brings it."""
    outcomes = {
        "keep_local": ("keep_local mine\n", ["keep_local theirs\n"]),
        "keep_raven": ("keep_raven theirs\n", ["keep_raven mine\n"]),
        "manual_merge": ("merged\n", ["manual_merge mine\n", "manual_merge theirs\n"]),
    }
    for choice in outcomes:
        home.write(f"{choice}.md", "base\n")
    source = home.link()
    for choice in outcomes:
        home.write(f"{choice}.md", f"{choice} mine\n")
        server.replace(source, f"{choice}.md", f"{choice} theirs\n")
    home.sync(code=3)
    merged = home.folder.parent / "merged.txt"
    merged.write_text("merged\n")
    with home.daemon() as daemon:
        for choice in outcomes:
            extra = ("--file", str(merged)) if choice == "manual_merge" else ()
            [row] = home.json("resolve", f"{choice}.md", choice, *extra)["resolved"]
            assert row["state"] == "resolved"
        settle([daemon])
        assert home.texts() == {f"{choice}.md": winner for choice, (winner, _) in outcomes.items()}
        assert_equal(source, server, [home])
        assert daemon.call("conflicts") == server.conflicts(source) == []
        for choice, (_, losers) in outcomes.items():
            known = {version["hash"] for version in home.json("history", f"{choice}.md")}
            assert {sha(loser) for loser in losers} <= known
            home.json("restore", f"{choice}.md", "--version", sha(losers[0]))
            assert home.texts()[f"{choice}.md"] == losers[0]
        settle([daemon])
    assert_equal(source, server, [home])


def test_cf3_the_same_edit_on_both_sides_is_no_conflict(home: Home, server: Server) -> None:
    """Edited alike, created alike and deleted on both sides: adopted without a word."""
    home.write("edited.md", "base\n")
    home.write("deleted.md", "base\n")
    source = home.link()
    home.write("edited.md", "alike\n")
    home.write("created.md", "alike\n")
    (home.folder / "deleted.md").unlink()
    server.replace(source, "edited.md", "alike\n")
    server.put(source, "created.md", "alike\n")
    server.remove(source, "deleted.md")
    report = home.sync(code=0)
    assert (report["conflicts_opened"], report["conflicts"]) == (0, 0)
    assert "conflict.opened" not in {kind for kind, _ in server.events(source)}
    assert home.texts() == {"edited.md": "alike\n", "created.md": "alike\n"}
    assert_equal(source, server, [home])


@pytest.mark.parametrize("choice", ["keep_local", "keep_raven"])
def test_cf4_an_edit_against_a_delete_is_parked_both_ways(home: Home, server: Server, choice: str) -> None:
    """Neither side is lost, and either choice converges."""
    for number in range(12):
        home.write(f"other-{number}.md", f"{number}\n")
    home.write("mine-gone.md", "base\n")
    home.write("theirs-gone.md", "base\n")
    source = home.link()
    (home.folder / "mine-gone.md").unlink()
    home.write("theirs-gone.md", "edited here\n")
    server.replace(source, "mine-gone.md", "edited there\n")
    server.remove(source, "theirs-gone.md")
    home.sync(code=3)
    assert {row["path"]: row["kind"] for row in home.json("conflicts")} == {
        "mine-gone.md": "delete_edit",
        "theirs-gone.md": "edit_delete",
    }
    home.json("resolve", "--all", choice)
    home.sync(code=0)
    expected = {"theirs-gone.md": "edited here\n"} if choice == "keep_local" else {"mine-gone.md": "edited there\n"}
    assert {path: text for path, text in home.texts().items() if "gone" in path} == expected
    assert_equal(source, server, [home])
    assert lost({"edited here\n", "edited there\n", "base\n"}, source, server, [home]) == set()


def test_cf4_an_edit_wins_over_a_delete_nobody_knew_of(strict_home: Home, strict: StrictServer) -> None:
    """The server's delete was not told before the edit was sent: the file stands on both sides, as edited. Its edit was
    not told before our delete was sent: that is parked, with the edit.
    """
    for number in range(12):
        strict_home.write(f"other-{number}.md", f"{number}\n")
    strict_home.write("theirs-gone.md", "base\n")
    strict_home.write("mine-gone.md", "base\n")
    source = strict_home.link()
    hidden = page_changed(lambda page: {**page, "events": [], "nextCursor": page["cursor"]})
    with strict_home.daemon() as daemon:
        settle([daemon])
        strict.faulty.inject(hidden, requests=10_000, on="deltas")
        strict.remove(source, "theirs-gone.md")
        strict.replace(source, "mine-gone.md", "edited there\n")
        strict_home.write("theirs-gone.md", "edited here\n")
        (strict_home.folder / "mine-gone.md").unlink()
        eventually(lambda: strict.text(source, "theirs-gone.md") == "edited here\n", what="the edit is sent")
        eventually(lambda: strict.conflicts(source), what="the delete is refused")
        strict.faulty.clear()
        settle([daemon])
        assert strict_home.texts()["theirs-gone.md"] == strict.text(source, "theirs-gone.md") == "edited here\n"
        assert [(row["path"], row["kind"]) for row in daemon.call("conflicts")] == [("mine-gone.md", "delete_edit")]
        assert strict.text(source, "mine-gone.md") == "edited there\n"
    assert lost({"edited here\n", "edited there\n"}, source, strict, [strict_home]) == set()


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_cf7_many_conflicts_are_paged_and_survive_a_restart(home: Home, server: Server, count: int) -> None:
    """Pages add up, a dry run changes nothing, a glob resolves its own and no other."""
    half = count // 2
    paths = [f"{folder}/n{number:03}.md" for folder in ("left", "right") for number in range(half)]
    for path in paths:
        home.write(path, f"base of {path}\n")
    source = home.link()
    for path in paths:
        home.write(path, f"mine of {path}\n")
        server.replace(source, path, f"theirs of {path}\n")
    home.sync(code=3)
    with home.daemon() as daemon:
        rows = daemon.call("conflicts")
        assert {row["path"] for row in rows} == set(paths)
        paged: list[str] = []
        while page := home.json(
            "conflicts", "--limit", str(count // 3 + 5), *(("--after", paged[-1]) if paged else ())
        ):
            paged += [row["id"] for row in page]
        assert paged == [row["id"] for row in rows]
        dry = home.json("resolve", "--path", "left/*", "keep_raven", "--dry-run")["resolved"]
        assert [row["here"] for row in dry] == ["replaced"] * half
        assert len(daemon.call("conflicts")) == count
        done = home.json("resolve", "--path", "left/*", "keep_raven")["resolved"]
        assert {row["state"] for row in done} == {"resolved"}
    with home.daemon() as daemon:
        assert {row["path"] for row in daemon.call("conflicts")} == {p for p in paths if p.startswith("right/")}
    texts = home.texts()
    assert {path: texts[path] for path in paths} == {
        path: f"{'theirs' if path.startswith('left/') else 'mine'} of {path}\n" for path in paths
    }


def test_cf8_two_machines_conflicts_on_one_path_stay_apart(machine: Machines, server: Server) -> None:
    """One resolves; the other's conflict stays open with its text, is resolved there, and both end equal."""
    left, right = machine("left"), machine("right")
    for home in (left, right):
        home.login(server)
    left.write("a.md", "base\n")
    source = left.link()
    right.link("--source", source)
    left.write("a.md", "left's\n")
    right.write("a.md", "right's\n")
    server.replace(source, "a.md", "theirs\n")
    left.sync(code=3)
    right.sync(code=3)
    left.sync(code=3)
    foreign = [row for row in left.json("conflicts") if not row["mine"]]
    for row in foreign:
        refused = left.json("resolve", row["id"], "keep_raven", code=1)["resolved"][0]
        assert refused["state"] == "refused"
    own = [row["id"] for row in left.json("conflicts") if row["mine"]]
    assert len(own) == 1
    left.json("resolve", own[0], "keep_local")
    assert server.text(source, "a.md") == "left's\n"
    right.sync(code=3)
    assert right.texts() == {"a.md": "right's\n"}
    [row] = [row for row in right.json("conflicts") if row["mine"]]
    assert (row["local_hash"], row["remote_hash"]) == (sha("right's\n"), sha("left's\n"))
    right.json("resolve", row["id"], "keep_local")
    left.sync()
    assert left.texts() == right.texts() == {"a.md": "right's\n"}
    assert lost({"left's\n", "right's\n", "theirs\n"}, source, server, [left, right]) == set()
    assert server.conflicts(source) == []
