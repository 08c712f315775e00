"""Promises about the account: registering, sources, and what is not there."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.core.events import Upsert
from agent.core.model import Mode, Resolution
from agent.core.remote_records import Result
from agent.core.supply import Transfer
from remotes.suite.world import World, needs

UNKNOWN = "99999999-9999-4999-8999-999999999999"


def kind_of(call: Callable[[], object]) -> ProblemKind:
    """The kind of problem a call ends with."""
    with pytest.raises(RemoteError) as error:
        call()
    return error.value.problem.kind


class AccountPromises:
    """See the module."""

    def test_a_heartbeat_names_the_connector_and_the_features(self, world: World) -> None:
        """A machine that starts anew learns what the server offers with its first heartbeat."""
        fresh = world.other("laptop")
        registered = fresh.remote.heartbeat(world.connector)
        assert registered.connector_id == world.connector
        assert registered.capabilities == fresh.remote.capabilities == world.can

    def test_a_forgotten_connector_is_not_found(self, world: World) -> None:
        """So that the agent registers again."""
        assert kind_of(lambda: world.remote.heartbeat(UNKNOWN)) is ProblemKind.NOT_FOUND

    def test_a_connector_id_of_our_own_registers_once(self, world: World) -> None:
        """An answer that was lost leaves no second connector behind."""
        needs(world.can.client_made_id, "connector ids made by the client")
        first, again = (world.remote.register("laptop", "linux", "1.0", "my-own-id") for _ in range(2))
        assert first.connector_id == again.connector_id == "my-own-id"

    def test_sources_are_listed_newest_first(self, world: World) -> None:
        """With name, and with mode and patterns where the server stores them."""
        world.clock.now += 1
        made = world.remote.create_source("work", Mode.IMPORT_ONLY, world.connector, ["**/*.txt"], ["tmp/**"])
        newest, first = world.sources()
        assert newest == made
        assert (made.name, made.writable, first.id, first.paused) == ("work", True, world.source, False)
        if world.can.server_mode:
            assert made.mode is Mode.IMPORT_ONLY
        if world.can.server_patterns:
            assert (made.include, made.exclude) == (("**/*.txt",), ("tmp/**",))

    def test_machines_are_listed_with_their_positions(self, world: World) -> None:
        """Each has read all or not; only this machine is marked; one that never read is left out, or not current."""
        needs(world.can.machines and world.records_positions, "list of machines")
        machines = {"laptop": world, "desktop": world.other("desktop")}
        world.other("phone")

        def read(name: str) -> None:
            _, state = machines[name].drain()
            # A position is reported when it is committed, and once a minute where that costs a call.
            world.clock.now += 61
            machines[name].remote.pull(world.source, state, 0.0, world.clock.now)

        def found() -> dict[str, tuple[bool | None, bool]]:
            listing = world.remote.machine_list
            assert listing is not None
            return {each.name: (each.is_current, each.is_this) for each in listing.machines(world.source)}

        world.put("a.md", "A\n")
        read("laptop")
        read("desktop")
        assert found() == {"laptop": (True, True), "desktop": (True, False)}
        world.put("b.md", "B\n")
        read("desktop")
        assert found() == {"laptop": (False, True), "desktop": (True, False)}
        read("laptop")
        assert found() == {"laptop": (True, True), "desktop": (True, False)}

    def test_a_machine_that_only_read_is_not_listed_as_current(self, world: World) -> None:
        """What was read and is not applied here may be missing in the folder, as while this machine is paused."""
        needs(world.can.machines and world.records_positions, "list of machines")
        world.put("a.md", "A\n")
        state = None
        for _ in range(5):
            page = world.remote.pull(world.source, state, 0.0, world.clock.now, applied=False)
            state = page.state
            world.clock.now += 61
        assert not page.more
        listing = world.remote.machine_list
        assert listing is not None
        assert not any(each.is_current for each in listing.machines(world.source))

    def test_a_machine_takes_another_name(self, world: World) -> None:
        """Where the server can rename a connector. It stays the same connector; an unknown one is not found."""
        renamed = world.remote.rename_connector(world.connector, "attic")
        assert renamed is world.can.rename_connector
        needs(renamed, "renaming of connectors")
        assert world.remote.heartbeat(world.connector).connector_id == world.connector
        admin = world.remote.device_admin
        if admin is not None:
            assert [each.name for each in admin.devices() if each.is_this] == ["attic"]
        assert kind_of(lambda: world.remote.rename_connector(UNKNOWN, "x")) is ProblemKind.NOT_FOUND

    def test_devices_are_renamed_switched_and_deleted(self, world: World) -> None:
        """Each change is of the named device alone; what is not there is not found, and deletes no machine's files."""
        admin = world.remote.device_admin
        needs(admin is not None, "devices that their user changes")
        assert admin is not None
        world.other("desktop")

        def found() -> dict[str, tuple[bool, bool]]:
            return {each.name: (each.active, each.is_this) for each in admin.devices()}

        assert found() == {"laptop": (True, True), "desktop": (True, False)}
        other = next(each.id for each in admin.devices() if not each.is_this)
        admin.rename(other, "old desktop")
        admin.set_active(other, False)
        assert found() == {"laptop": (True, True), "old desktop": (False, False)}
        admin.set_active(other, True)
        assert found() == {"laptop": (True, True), "old desktop": (True, False)}
        admin.delete(other)
        assert found() == {"laptop": (True, True)}
        for change in (lambda: admin.rename(other, "x"), lambda: admin.delete(other)):
            assert kind_of(change) is ProblemKind.NOT_FOUND
        assert world.remote.heartbeat(world.connector).connector_id == world.connector

    def test_a_machine_whose_token_ended_goes_on(self, world: World) -> None:
        """This machine keeps the new token; another one gets its own with its next call."""
        admin = world.remote.device_admin
        needs(admin is not None and admin.has_tokens, "tokens of devices")
        assert admin is not None
        other = world.other("desktop")
        for device in admin.devices():
            admin.renew_token(device.id)
        world.put("a.md", "A\n")
        for machine in (world, other):
            assert {event.path for event in machine.drain()[0] if isinstance(event, Upsert)} == {"a.md"}

    def test_more_sources_than_one_page_are_all_listed(self, world: World) -> None:
        """Also the sixtieth."""
        names = [f"s{number}" for number in range(60)]
        for name in names:
            world.clock.now += 1
            world.remote.create_source(name, Mode.BIDIRECTIONAL, world.connector, [], [])
        assert [source.name for source in world.sources()] == [*reversed(names), "notes"]

    def test_an_unknown_source_is_not_found_everywhere(self, world: World) -> None:
        """No call takes an unknown source for an empty one."""
        remote = world.remote
        operation = world.edit("a.md", "A").operation
        calls: list[Callable[[], object]] = [
            lambda: remote.pull(UNKNOWN, None, 0, world.clock.now),
            lambda: list(remote.listing(UNKNOWN)),
            lambda: list(remote.conflicts(UNKNOWN)),
            lambda: remote.resolve(UNKNOWN, UNKNOWN, Resolution.KEEP_RAVEN, None, None),
            lambda: remote.fetch(UNKNOWN, Transfer("0" * 16, "a.md", None, None, "x", 1), 0, lambda *_: None),
        ]
        if world.can.server_pause:
            calls.append(lambda: remote.pause(UNKNOWN))
        for call in calls:
            assert kind_of(call) in (ProblemKind.NOT_FOUND, ProblemKind.STALE)
        answer = remote.push(UNKNOWN, world.connector, [world.edit("a.md", "A")])
        assert answer.outcomes[0].result in (Result.NOT_SENT, Result.UNCERTAIN)
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.NOT_FOUND
        assert operation.id not in {outcome.operation_id for outcome in answer.outcomes}

    def test_a_paused_source_takes_no_push_but_its_feed_is_read(self, world: World) -> None:
        """The refused operation was not sent, and is applied after the pause."""
        needs(world.can.server_pause, "pause")
        world.put("b.md", "B")
        world.remote.pause(world.source)
        assert world.remote.is_paused(world.source)
        answer = world.push(world.edit("a.md", "A"))
        assert [outcome.result for outcome in answer.outcomes] == [Result.NOT_SENT]
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.PAUSED
        assert world.drain()[0]
        world.remote.resume(world.source)
        assert not world.remote.is_paused(world.source)
        assert world.results(world.edit("a.md", "A")) == [Result.APPLIED]

    def test_nothing_is_nudged_by_a_server_without_nudges(self, world: World) -> None:
        """The call returns at once."""
        needs(not world.can.nudges, "silence")
        world.remote.listen(threading.Event(), lambda _: pytest.fail("a nudge"))
