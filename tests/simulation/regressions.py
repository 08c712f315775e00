"""Runs that once failed, each by the turns it needs, under a name that says what went wrong."""

from __future__ import annotations

from dataclasses import dataclass

from simulation.world import Plan


@dataclass(frozen=True, slots=True)
class Regression:
    """One of them.

    Attributes:
        name: what is right by now, as a test's name.
        occasion: what the script of the run must tell, so that the run still is about it.
    """

    name: str
    plan: Plan
    occasion: tuple[str, ...]


REGRESSIONS = (
    Regression(
        "what_a_gateway_refused_for_its_size_once_is_sent_when_it_is_retried",
        Plan(64, "strict"),
        ("too large at sources/push-batch",),
    ),
    Regression(
        "another_machines_refused_delete_is_not_taken_for_an_edit_made_on_the_server",
        Plan(39, "strict"),
        ("does AskConflicts()", "crash before sources/deltas"),
    ),
    Regression(
        "a_listed_conflict_that_may_answer_our_own_push_is_not_asked_about_without_end",
        Plan(
            24,
            "strict",
            keep=(
                1,
                2,
                3,
                5,
                6,
                8,
                9,
                10,
                11,
                18,
                20,
                22,
                23,
                24,
                26,
                29,
                36,
                37,
                40,
                41,
                42,
                43,
                45,
                47,
                49,
                50,
                52,
                53,
                54,
                55,
                56,
                57,
                61,
                62,
                64,
                65,
                66,
                67,
                69,
                70,
                71,
                73,
                74,
                75,
                77,
                78,
                80,
                81,
                83,
                85,
                87,
                89,
                90,
                94,
                95,
                96,
                97,
                98,
                99,
            ),
        ),
        ("does AskConflicts()",),
    ),
)
