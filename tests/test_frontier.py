"""Curves are read between their points, in log L0, seed by seed, and nowhere else."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boardsae.frontier import Cell, Point, Reading, curve, over_seeds, read_at

LINE = [Point(40.0, 0.7, 0.6, 0.9), Point(10.0, 0.3, 0.2, 0.4)]


def test_half_way_in_log_l0_by_hand():
    assert read_at(LINE, 20.0) == Reading(pytest.approx(0.5), pytest.approx(0.4), pytest.approx(0.65))


def test_measured_points_come_back():
    assert read_at(LINE, 10.0)[:3] == (0.3, 0.2, 0.4)
    assert read_at(LINE, 40.0)[:3] == (0.7, 0.6, 0.9)
    assert read_at(LINE[:1], 40.0)[:3] == (0.7, 0.6, 0.9)


@pytest.mark.parametrize("l0", [9.99, 40.01])
def test_nothing_is_extrapolated(l0):
    assert read_at(LINE, l0) == Reading(None, reason="measured from L0 10.0 to 40.0 only")


def test_runs_of_one_l0_are_averaged_and_silent_ones_have_no_place():
    points = [Point(10.0, 0.2), Point(10.0, 0.4), Point(0.0, 0.9), Point(20.0, 1.0)]
    assert curve(points) == [Point(10.0, pytest.approx(0.3)), Point(20.0, 1.0)]
    assert read_at([Point(0.0, 0.9)], 1.0).reason == "no run with a value and an L0 above 0"


def test_a_missing_bound_leaves_no_interval():
    assert read_at([Point(10.0, 0.3, 0.2, 0.4), Point(40.0, 0.7)], 20.0)[1:] == (None, None, None)


@given(st.lists(st.tuples(st.floats(1, 200), st.floats(0, 1)), min_size=2, max_size=8), st.floats(0, 1))
def test_readings_lie_between_the_runs_around_them(pairs, share):
    points = [Point(l0, value, value - 0.1, value + 0.1) for l0, value in pairs]
    low, high = min(p.l0 for p in points), max(p.l0 for p in points)
    at = min(max(math.exp((1 - share) * math.log(low) + share * math.log(high)), low), high)
    found = read_at(points, at)
    values = [p.value for p in curve(points)]
    assert min(values) - 1e-9 <= found.value <= max(values) + 1e-9
    assert (found.low, found.high) == (pytest.approx(found.value - 0.1), pytest.approx(found.value + 0.1))


def test_seeds_together_are_the_mean_and_the_sample_deviation():
    readings = {0: Reading(0.1, 0.0, 0.2), 1: Reading(0.3, 0.2, 0.6), 2: Reading(None, reason="too dense")}
    expected = Cell(
        pytest.approx(0.2), pytest.approx(0.1), pytest.approx(0.4), pytest.approx(math.sqrt(0.02)), 2
    )
    assert over_seeds(readings) == expected
    assert over_seeds({2: readings[2]}) == Cell(None, reason="too dense")
    assert over_seeds({0: readings[0]}).sd is None  # one seed has no spread
