"""Measure the accuracies behind lesson 08's map and write them beside its room: some minutes of one core.

    python tools/edge_map.py [ACTIVATION …]

A row a place, ``activation,sigma_w,sigma_b,accuracy,accuracy``: the test accuracy after three epochs of a net
of 30 layers, a column a seed. Another CPU trains other nets: near the border a run may end anywhere. Of the
places where it does not, ``tests/papers/test_edge_map.py`` measures some anew.
"""

from __future__ import annotations

import sys

from initkit.course.lessons import edge_of_chaos as room

SIGMA_W = [round(0.6 + 0.2 * k, 1) for k in range(13)]
SIGMA_B = [round(0.1 * k, 1) for k in range(8)]
SEEDS = 2


def main(names: list[str]) -> None:
    """Measure ``names`` anew, all activations where it is empty; the other rows stay."""
    old = room.RUNS.read_text(encoding="utf-8").splitlines() if room.RUNS.exists() else []
    rows = []
    for name in room.FUNCTIONS:
        if names and name not in names:
            rows += [row for row in old if row.startswith(f"{name},")]
            continue
        for sigma_b in SIGMA_B:
            for sigma_w in SIGMA_W:
                runs = [room.accuracy_of(name, sigma_w, sigma_b, seed) for seed in range(SEEDS)]
                rows.append(",".join([name, str(sigma_w), str(sigma_b), *(f"{run:.3f}" for run in runs)]))
                print(rows[-1], flush=True)
    room.RUNS.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
