"""Checks of everything that could stop the agent, each with a remedy, and the drill of a server's promises.

Begin with ``examine.py`` (all checks) and ``drill.py``.
"""

from __future__ import annotations

from agent.doctor.examine import examine, examine_alone

__all__ = ["examine", "examine_alone"]
