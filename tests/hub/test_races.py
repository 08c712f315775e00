"""Writers at once, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading

from hub.fixtures import InProcess, sha, together, upsert

WRITERS = 6


def test_of_six_pushes_on_one_base_exactly_one_wins(hub: InProcess) -> None:
    """Each time; the others stand in conflicts with their texts."""
    source = hub.source()
    hub.push(source, upsert("a.md", "0"))
    for number in range(15):
        base = hub.text(source, "a.md") or ""
        items = [upsert("a.md", f"{number} {writer}", sha(base)) for writer in range(WRITERS)]
        statuses = together(*[lambda item=item: hub.outcome(source, item)["status"] for item in items])
        assert sorted(statuses) == ["applied"] + ["conflict"] * (WRITERS - 1)
    assert len(hub.conflicts(source)) == 15 * (WRITERS - 1)
    assert len(hub.past(source, "a.md")) == 16


def test_a_reader_beside_two_writers_sees_cursors_without_gaps(hub: InProcess) -> None:
    """Each source's cursors are dense and in the order of its commits; equal texts in any order lock nobody out."""
    sources = [hub.source(), hub.source()]
    done = threading.Event()
    seen: dict[str, list[int]] = {source: [] for source in sources}

    def write(writer: int) -> None:
        source = sources[writer % 2]
        for number in range(20):
            # The same texts from everybody, in opposite orders.
            texts = [f"{number} {i}" for i in range(10)][:: 1 if writer % 2 else -1]
            hub.push(source, *[upsert(f"{writer}/{number}/{i}.md", text) for i, text in enumerate(texts)])

    def read() -> None:
        while True:
            last = done.is_set()
            fresh = 0
            for source, cursors in seen.items():
                page = hub.ok("sources/deltas", sourceId=source, cursor=cursors[-1] if cursors else 0, limit=500)
                cursors += [event["cursor"] for event in page["events"]]
                fresh += len(page["events"])
            if last and not fresh:
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        together(*[lambda writer=writer: write(writer) for writer in range(WRITERS)])
    finally:
        done.set()
        reader.join()
    assert list(seen.values()) == [list(range(1, WRITERS // 2 * 200 + 1))] * 2
