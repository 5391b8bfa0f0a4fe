"""Who lives, who is lost: judged by states and heartbeats, on a clock that the test holds."""

import pytest

from tasks.fan_out.batching import RunState, Watch
from tasks.fan_out.config import PoolConfig

CONFIG = PoolConfig(lost_after_s=60, start_within_s=600)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def judged(*looks: tuple[float, str, str], starts_slowly: bool = False) -> list[RunState]:
    """Judge a run at these times, in these states, with these heartbeats."""
    clock = Clock()
    watch = Watch(CONFIG, clock, starts_slowly=starts_slowly)
    verdicts = []
    for time_s, state, heartbeat in looks:
        clock.now_s = time_s
        verdicts.append(watch.judge(state, heartbeat))
    return verdicts


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        pytest.param("SCHEDULED", RunState.WAITING, id="scheduled"),
        pytest.param("PENDING", RunState.WORKING, id="pending"),
        pytest.param("RUNNING", RunState.WORKING, id="running"),
        pytest.param("COMPLETED", RunState.ENDED, id="completed"),
        pytest.param("FAILED", RunState.ENDED, id="failed"),
        pytest.param("CRASHED", RunState.ENDED, id="crashed"),
        pytest.param("CANCELLING", RunState.CANCELLED, id="cancelling"),
        pytest.param("CANCELLED", RunState.CANCELLED, id="cancelled"),
        pytest.param("PAUSED", RunState.WAITING, id="paused"),
    ],
)
def test_a_first_look_goes_by_the_state(state: str, verdict: RunState) -> None:
    assert judged((0, state, "")) == [verdict]


def test_who_waits_for_a_worker_is_never_lost() -> None:
    assert set(judged(*((step * 3600, "SCHEDULED", "") for step in range(100)))) == {RunState.WAITING}


def test_a_pulse_that_stands_still_for_long_is_a_death() -> None:
    looks = [(0, "RUNNING", "1"), (59, "RUNNING", "1"), (61, "RUNNING", "1")]
    assert judged(*looks) == [RunState.WORKING, RunState.WORKING, RunState.LOST]


def test_a_pulse_that_goes_on_is_a_life_however_slow_the_work() -> None:
    assert set(judged(*((step * 55, "RUNNING", str(step)) for step in range(100)))) == {RunState.WORKING}


def test_a_run_without_a_pulse_is_lost_as_soon_as_one_whose_pulse_stopped() -> None:
    """Its worker beats for it from the moment at which it takes it up, however long the process takes to start."""
    looks = [(0, "PENDING", ""), (59, "PENDING", ""), (61, "PENDING", "")]
    assert judged(*looks) == [RunState.WORKING, RunState.WORKING, RunState.LOST]


def test_a_job_of_a_cluster_may_take_longer_to_start_but_not_to_say_that_it_has() -> None:
    looks = [(0, "PENDING", ""), (500, "PENDING", ""), (590, "RUNNING", ""), (649, "RUNNING", ""), (651, "RUNNING", "")]
    assert judged(*looks, starts_slowly=True) == [RunState.WORKING] * 4 + [RunState.LOST]
    late = [(0, "PENDING", ""), (599, "PENDING", ""), (601, "PENDING", "")]
    assert judged(*late, starts_slowly=True) == [RunState.WORKING] * 2 + [RunState.LOST]


def test_who_was_given_back_to_the_queue_waits_again() -> None:
    looks = [(0, "PENDING", ""), (50, "SCHEDULED", ""), (800, "PENDING", ""), (850, "PENDING", "")]
    assert judged(*looks) == [RunState.WORKING, RunState.WAITING, RunState.WORKING, RunState.WORKING]
