"""Records with texts of people in them, which no log may show."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct


class WithoutTexts(Struct, frozen=True):
    """A record whose ``repr`` leaves out the fields that are named in ``TEXTS``.

    A dataclass with ``repr=False`` costs ten times as much at import.
    """

    TEXTS: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        names = [name for name in self.__struct_fields__ if name not in self.TEXTS]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"
