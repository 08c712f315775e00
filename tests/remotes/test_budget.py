"""The budget of calls: what the server's answers allow, and nothing sent beyond it."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx
import pytest

from agent.core.errors import ProblemKind
from agent.remotes.http.budget import CallBudget
from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.http.profile import ApiProfile
from agent.remotes.http.request import ApiRequest, Priority

NOW = 1_700_000_000.0


@dataclass
class Clocks:
    """One time for both clocks; seconds since the start."""

    passed: float = 0.0

    def wall(self) -> float:
        """Seconds since the epoch."""
        return NOW + self.passed

    def ticks(self) -> float:
        """Monotonic seconds."""
        return self.passed


@dataclass
class Budget:
    """A budget with its clocks."""

    clocks: Clocks = field(default_factory=Clocks)
    budget: CallBudget = field(init=False)

    def __post_init__(self) -> None:
        self.budget = CallBudget("s", self.clocks.wall, self.clocks.ticks)

    def call(self, left: int, resets_in: float = 60.0, cost: int = 1, limit: int = 100) -> None:
        """One call and its answer."""
        self.budget.take(cost, Priority.OWN).answered(200, headers(left, limit, NOW + self.clocks.passed + resets_in))

    def wait(self, cost: int = 1, priority: Priority = Priority.OWN) -> float | None:
        """The seconds the next call has to wait; None if it may be sent (it then ends without an answer)."""
        try:
            self.budget.take(cost, priority).end()
        except RemoteCallError as failure:
            assert failure.problem.kind is ProblemKind.BUSY
            assert failure.effect is SideEffect.NONE
            return failure.problem.retry_after
        return None


def headers(left: int, limit: int = 100, reset: float = NOW + 60) -> dict[str, str]:
    """The headers of an answer."""
    numbers = {"limit": str(limit), "remaining": str(left), "reset": str(int(reset))}
    return {f"x-ratelimit-{name}": value for name, value in numbers.items()}


def test_nothing_is_refused_before_the_server_named_a_limit() -> None:
    """A first call of any cost is sent."""
    assert Budget().wait(cost=500, priority=Priority.BULK) is None


def test_calls_take_their_cost_until_nothing_is_left() -> None:
    """The wait is the rest of the server's period."""
    budget = Budget()
    budget.call(left=10)
    for _ in range(2):
        assert budget.wait(cost=5) is None
    budget.clocks.passed = 20.0
    assert budget.wait() == pytest.approx(40.0)


def test_a_new_period_allows_calls_again() -> None:
    """No call is needed to learn it: the server said when."""
    budget = Budget()
    budget.call(left=0)
    assert budget.wait() == pytest.approx(60.0)
    budget.clocks.passed = 60.0
    assert budget.wait() is None


def test_the_last_tenth_is_kept_for_the_users_own_changes() -> None:
    """Contents and walks wait while metadata and commits go on."""
    budget = Budget()
    budget.call(left=14)
    assert budget.wait(cost=5, priority=Priority.BULK) == pytest.approx(60.0)
    assert budget.wait(cost=4, priority=Priority.BULK) is None
    assert budget.wait(cost=1, priority=Priority.BULK) == pytest.approx(60.0)
    assert budget.wait(cost=10) is None
    assert budget.wait(cost=1) == pytest.approx(60.0)


def test_an_overtaken_answer_never_raises_the_rest() -> None:
    """Of two parallel calls the older answer may arrive last; another machine's calls count too."""
    budget = Budget()
    first, second = (budget.budget.take(1, Priority.OWN) for _ in range(2))
    second.answered(200, headers(4))
    first.answered(200, headers(50))
    assert [budget.wait() for _ in range(3)] == [None] * 3
    assert budget.wait() is not None


def test_an_older_answer_can_lower_the_rest() -> None:
    """The server may have taken the older call last."""
    budget = Budget()
    first, second = (budget.budget.take(1, Priority.OWN) for _ in range(2))
    second.answered(200, headers(50))
    first.answered(200, headers(1))
    assert budget.wait() is None
    assert budget.wait() is not None


def test_a_sliding_period_gives_calls_back_bit_by_bit() -> None:
    """The newest answer counts, also where it states more than the one before."""
    budget = Budget()
    budget.call(left=1)
    budget.clocks.passed += 0.1
    budget.call(left=2)
    assert [budget.wait() for _ in range(2)] == [None] * 2
    assert budget.wait() is not None


def test_calls_on_their_way_count_against_a_new_period() -> None:
    """Their cost is not in the number that the answer names."""
    budget = Budget()
    flying = [budget.budget.take(5, Priority.OWN) for _ in range(3)]
    budget.call(left=17)
    assert budget.wait(cost=3) is not None
    assert budget.wait(cost=2) is None
    for call in flying:
        call.end()


def test_a_refused_call_waits_as_long_as_it_was_told() -> None:
    """PR8: 429 with Retry-After, also from a limit that the headers do not show."""
    budget = Budget()
    budget.budget.take(1, Priority.OWN).answered(429, {"retry-after": "7", **headers(80)})
    assert budget.wait() == pytest.approx(60.0)
    other = Budget()
    other.budget.take(1, Priority.OWN).answered(429, {"retry-after": "7"})
    assert other.wait() == pytest.approx(7.0)
    other.clocks.passed = 7.0
    assert other.wait() is None


def test_the_reset_is_measured_by_the_servers_own_date() -> None:
    """OP2: our clock may be a year off."""
    budget = Budget()
    year = 365 * 86400
    date = "Wed, 13 Nov 2024 22:13:20 GMT"
    budget.budget.take(1, Priority.OWN).answered(200, {"date": date, **headers(0, reset=NOW + year + 86400 + 30)})
    wait = budget.wait()
    assert wait is not None
    assert 0 < wait <= 3600


@pytest.mark.parametrize("value", ["", "-1", "1.5", "many", "²"])
def test_numbers_that_are_none_are_ignored(value: str) -> None:
    """A proxy may write anything."""
    budget = Budget()
    bad = dict.fromkeys(headers(0), value)
    budget.budget.take(1, Priority.OWN).answered(200, bad)
    assert budget.wait() is None


def test_an_empty_budget_sends_nothing() -> None:
    """The client raises BUSY without a request, and sends again in the next period."""
    clocks, sent = Clocks(), []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        return httpx.Response(200, json=[], headers=headers(1, reset=clocks.wall() + 60))

    http = HttpClient(
        "https://s.test", lambda: "t", ApiProfile("v1/", rate_limited=True), clock=clocks.wall, ticks=clocks.ticks,
        transport=httpx.MockTransport(handler),
    )  # fmt: skip
    call = ApiRequest("GET", "x", cost=1)
    for _ in range(2):
        http.request(call)
        clocks.passed += 0.1
    http.request(call)
    with pytest.raises(RemoteCallError) as error:
        http.request(ApiRequest("GET", "x", cost=2))
    assert (error.value.problem.kind, error.value.effect, len(sent)) == (ProblemKind.BUSY, SideEffect.NONE, 3)
    clocks.passed += 61
    http.request(ApiRequest("GET", "x", cost=2))
    assert len(sent) == 4


def test_a_call_that_failed_on_the_way_is_given_back() -> None:
    """It counts as sent, and no longer as on its way."""
    budget = Budget()
    http = HttpClient(
        "https://s.test", lambda: "t", ApiProfile("", rate_limited=True), ticks=budget.clocks.ticks,
        transport=httpx.MockTransport(_unreachable),
    )  # fmt: skip
    for _ in range(3):
        with pytest.raises(RemoteCallError):
            http.request(ApiRequest("GET", "x"))
    assert http._budget is not None
    assert http._budget._sending == 0


def _unreachable(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no")
