"""Detect a home that was copied from another machine, and detach it from that machine."""

from __future__ import annotations

import logging

from agent.index import Index
from agent.runtime.registry_store import RegistryStore
from agent.settings import links as reg

log = logging.getLogger(__name__)


def detach_cloned_home(store: RegistryStore, index: Index, machine: str) -> None:
    """Give a copied home a new identity: without the other machine's connectors and its unfinished operations.

    Otherwise both machines would act as one connector, and both would finish what the first had begun.

    Args:
        machine: the id of this machine. Connectors registered by another machine are foreign.
    """
    registry = store.current
    own = reg.without_foreign_connectors(registry, machine)
    if own is registry:
        return
    log.warning("this home was copied from another machine; it registers as a new connector")
    for server in own.servers:
        if server != registry.server(server.name):
            for source in own.sources_of(server.name):
                with index.transaction():
                    index.detach_from_other_machine(source.key)
    # The registry is written last: if the process ends before that, the next start repeats the detaching.
    store.change(lambda current: reg.without_foreign_connectors(current, machine))
