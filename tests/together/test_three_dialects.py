"""One source of the hub, seen by three agents that speak three dialects."""

from __future__ import annotations

import hashlib

from together.machines import Together

IMAGE = bytes(range(256)) * 40
LARGE = hashlib.sha256(b"large").digest() * 70_000
"""2.2 MB: it travels in chunks."""


def test_texts_reach_all_three_and_any_file_reaches_two(together: Together) -> None:
    """New files, edits, a rename and a delete of each machine; binary and large files where the dialect has them."""
    for home in together:
        home.write(f"{home.name}/note.md", f"of {home.name}\n")
        home.write(f"{home.name}/gone.md", "gone\n")
    together.drive.write("drive.png", IMAGE)
    together.pinakes.write("pinakes.bin", LARGE)
    together.raven.write("raven.bin", IMAGE)
    together.sync()
    (together.raven.folder / "raven.bin").unlink()
    files = together.assert_converged()
    assert len(files) == 8 and files["pinakes.bin"] == LARGE and files["drive.png"] == IMAGE
    for home, other in zip(together, [*together][1:] + [*together][:1], strict=True):
        home.write(f"{other.name}/note.md", f"edited by {home.name}\n")
        (home.folder / other.name / "gone.md").unlink()
        (home.folder / other.name / "note.md").rename(home.folder / f"{other.name}.md")
    (together.pinakes.folder / "drive.png").rename(together.pinakes.folder / "moved.png")
    together.drive.write("pinakes.bin", LARGE[::-1])
    together.sync()
    files = together.assert_converged()
    assert sorted(files) == ["moved.png", "pinakes.bin", "pinakes.md", "raven.md", "scaidrive.md"]
    assert files["pinakes.bin"] == LARGE[::-1]


def test_a_conflict_of_one_is_shown_by_the_others(together: Together) -> None:
    """Whichever dialect opens it: each machine lists it, one of them as its own; its resolution reaches all."""
    homes = list(together)
    for number, opener in enumerate(homes):
        first, other = homes[number - 2], homes[number - 1]
        path, chosen = f"{opener.name}.md", f"of {opener.name}\n"
        opener.write(path, "base\n")
        together.once(opener, first)
        first.write(path, f"of {first.name}\n")
        first.sync()
        opener.write(path, chosen)
        together.once(opener, first, other)
        shown = {home.name: [(row["path"], row["mine"]) for row in home.json("conflicts")] for home in homes}
        assert shown == {home.name: [(path, home is opener)] for home in homes}
        assert opener.texts()[path] == chosen
        assert opener.run("resolve", opener.folder / path, "keep_local").code == 0
        together.once(first, other)
        assert [home.json("conflicts") for home in homes] == [[], [], []]
        assert together.assert_converged()[path] == chosen.encode()
