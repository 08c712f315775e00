"""Default implementations of the compound calls of ``Fs``, for file systems that wrap or replace the real one."""

from __future__ import annotations

from agent.disk.fs.protocol import Dir, Fs, Listing, Stamp, classify, stamp_of


class DerivedFsCalls:
    """The compound calls of ``Fs``, made of the single ones, so that a wrapper sees each single call."""

    def listing(self: Fs, folder: Dir) -> Listing:
        """As in ``Fs``."""
        return classify(self.entries(folder))

    def quick_stat(self: Fs, folder: Dir, name: str) -> Stamp | None:
        """As in ``Fs``."""
        return stamp_of(self.stat(folder, name))

    def read_small(self: Fs, folder: Dir, name: str, limit: int) -> tuple[bytes, Stamp] | None:
        """As in ``Fs``."""
        if self.quick_stat(folder, name) is None:
            # Opening a file whose bytes are in the cloud could download it.
            return None
        file = self.open_file(folder, name)
        try:
            before = stamp_of(self.fstat(file))
            if before is None or before[0] > limit:
                return None
            content = self.read(file, before[0] + 1)
            return (content, before) if len(content) == before[0] else None
        finally:
            self.close(file)
