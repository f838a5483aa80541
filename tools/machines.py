"""Do the tests pass on other CPUs? Run them with OpenBLAS and NumPy told to work as they would there.

    python tools/machines.py                     on four
    python tools/machines.py Nehalem Prescott    on these

OPENBLAS_CORETYPE chooses the matrix product's kernel; NPY_DISABLE_CPU_FEATURES takes the vector instructions
from NumPy that such a CPU has not. A kernel whose instructions are not here cannot run, and is no failure.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# By kernel: an instruction that it needs, and all of those that its CPU has and NumPy can do without.
MACHINES = {
    "Haswell": ("AVX2", ("X86_V3", "AVX2", "FMA3", "F16C")),  # Zen has the same
    "Nehalem": ("SSE42", ()),
    "Prescott": ("SSE3", ()),
    "SkylakeX": (
        "AVX512F",
        ("X86_V3", "X86_V4", "AVX2", "FMA3", "F16C", "AVX512F", "AVX512CD", "AVX512_SKX"),
    ),
}
NBVAL = ("--nbval-lax", "--nbval-cell-timeout=60", "--nbval-kernel-name=python3")
# Files, texts, packages and what a picture does round nothing: every CPU would do the same.
NOT_NUMBERS = (
    "course_command", "docs", "doctor_files", "glossary", "in_a_browser", "lite", "live", "packaging",
    "plots", "readable", "sweep", "texts", "typing",
)  # fmt: skip
SUITES = {
    "unit tests": ("initkit", "tests/unit", *(f"--ignore=tests/unit/test_{name}.py" for name in NOT_NUMBERS)),
    "papers": ("tests/papers", "tests/unit/test_packaging.py::test_readmes_example_runs"),
    "cells": (*NBVAL, "notebooks/en"),  # the Chinese edition has the same code
}
WORKS_AS = (  # the kernel that is in use, after a product that crashes where it cannot run
    "import numpy, threadpoolctl; numpy.ones((99, 99)) @ numpy.ones((99, 99));"
    "print(*(blas['architecture'] for blas in threadpoolctl.threadpool_info() if blas['user_api'] == 'blas'))"
)


def environment(machine: str) -> dict[str, str] | None:
    """What makes NumPy work as on that machine; None where this CPU cannot."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    needed, has = MACHINES[machine]
    if not __cpu_features__.get(needed):
        return None
    # NumPy warns about what the CPU has not, and a warning is an error in our tests.
    disabled = [name for name in __cpu_dispatch__ if __cpu_features__[name] and name not in has]
    chosen = {"OPENBLAS_CORETYPE": machine, "NPY_DISABLE_CPU_FEATURES": " ".join(disabled)}
    told = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | {k: v for k, v in chosen.items() if v}
    done = subprocess.run([sys.executable, "-c", WORKS_AS], env=told, capture_output=True, encoding="utf-8")
    # Another BLAS than OpenBLAS takes no kernel. Prescott's is called by another of its names.
    return told if {machine, {"Prescott": "Katmai"}.get(machine)} & set(done.stdout.split()) else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("machine", nargs="*", help=", ".join(MACHINES))
    machines = parser.parse_args().machine or list(MACHINES)
    if not set(machines) <= set(MACHINES):
        parser.error(f"machine must be of {', '.join(MACHINES)}, not {' '.join(machines)}")
    table, failed = [], False
    for machine in machines:
        told = environment(machine)
        if told is None:
            table.append((machine, *["cannot run here"] * len(SUITES)))
            continue
        row = [machine]
        for suite, arguments in SUITES.items():
            print(f"== {machine}: {suite}", flush=True)
            command = [sys.executable, "-m", "pytest", "-q", "-n", str(os.cpu_count()), "--dist", "loadgroup"]
            status = subprocess.run([*command, *arguments], cwd=ROOT, env=told).returncode
            row.append("passed" if status == 0 else "FAILED")
            failed |= status != 0
        table.append(tuple(row))
    for row in [("kernel", *SUITES), *table]:
        print("".join(f"{cell:<18}" for cell in row).rstrip())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
