"""The accuracies behind lesson 08's map, some of them measured anew: tools/edge_map.py made them."""

import numpy as np
import pytest

from initkit.course.lessons import edge_of_chaos as room

PLACES = [
    ("tanh", 0.6, 0.3, "chance"),  # ordered: ξ_c is 1 layer
    ("tanh", 1.2, 0.0, "learns"),
    ("tanh", 2.6, 0.4, "chance"),  # chaotic
    ("relu", 2.0, 0.3, "chance"),  # the signal explodes
]


def stored(name, sigma_w, sigma_b):
    w, b, runs = room.measured()[name]
    return runs[np.flatnonzero(b == sigma_b)[0], np.flatnonzero(w == sigma_w)[0]]


@pytest.mark.parametrize(("name", "sigma_w", "sigma_b", "verdict"), PLACES)
def test_a_place_on_the_map_is_found_again(between, name, sigma_w, sigma_b, verdict):
    """With a seed that the map has not seen. Over places on one side of the border the two stored runs differ
    with a standard deviation s, so a run has s/√2 and lies within 4·s·√(3/4) of the mean of two with a chance
    of 1 − 6e-5, were it normal; the accuracy of a net that learns has a long tail below, hence the half."""
    runs = room.measured()[name][2]
    mean = runs.mean(axis=2)
    alike = runs[(mean > 0.6) if verdict == "learns" else (mean < 0.15)]
    s = np.diff(alike, axis=1).std()
    was = stored(name, sigma_w, sigma_b).mean()
    now = room.accuracy_of(name, sigma_w, sigma_b, seed=7)
    low = 0.5 if verdict == "learns" else was - 4 * s * 0.75**0.5
    between("accuracy", now, low, was + max(4 * s * 0.75**0.5, 0.05))


def test_the_map_is_whole():
    for name in room.FUNCTIONS:
        runs = room.measured()[name][2]
        assert runs.shape == (8, 13, 2)
        assert ((runs >= 0) & (runs <= 1)).all()


def test_the_ridge_of_tanh_lies_along_the_edge():
    """In each row the best place is within two columns of where χ₁ = 1."""
    w, b, runs = room.measured()["tanh"]
    edge, rows = room.edge_line(room.theory_of("tanh"))
    best = w[runs.mean(axis=2).argmax(axis=1)]
    assert (np.abs(best - np.interp(b, rows, edge)) <= 0.4).all()
