"""doctor: what could keep the agent from doing its work, one thing a row, each with one remedy. Changes nothing."""

from __future__ import annotations

from agent.doctor.examine import examine, examine_alone

__all__ = ["examine", "examine_alone"]
