"""Visibility with every test: many candidate views of many elements, the way planning asks for it.

Run: python -P benchmarks/visibility.py [PART] [--candidates N] [--elements M] [--jobs J]
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from scipy.sparse import csr_array

from viewcov.coverage.geometric.sightings import Watch
from viewcov.coverage.geometric.visibility import Setup
from viewcov.coverage.rays.raycasting import RayCaster
from viewcov.inspection.loading.part_files import load_part
from viewcov.inspection.mesh.part import Part
from viewcov.inspection.mesh.surface import Surface, cut_surface
from viewcov.inspection.rig.rig import Rig, load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.planning.candidates.clearance import Clearance
from viewcov.planning.candidates.maker import CandidateMaker, spread_elements


def surface_of(part: Part, num_elements: int) -> Surface:
    """The part in about that many elements: within 5 % where the halving of its triangles comes so near."""
    edge_mm = float(np.sqrt(part.area_mm2 / (0.25 * num_elements)))
    for _ in range(8):
        surface = cut_surface(part, edge_mm)
        if abs(surface.num_elements / num_elements - 1) < 0.05:
            break
        edge_mm *= float(np.sqrt(surface.num_elements / num_elements))
    return surface


def candidates_of(surface: Surface, rig: Rig, num: int) -> list[Viewpoint]:
    """Candidates as planning makes them, three for each point aimed at."""
    rng = np.random.default_rng(0)
    caster = RayCaster(surface.part.vertices_mm, surface.part.faces)
    maker = CandidateMaker(surface, rig, rig.requirements, caster, Clearance(surface, rig))
    views: list[Viewpoint] = []
    while len(views) < num:
        aims = spread_elements(surface, np.flatnonzero(surface.inspected), num // 2, rng=rng)
        views += maker.views_of(aims, num_each=3, rng=rng, prefix=f"r{len(views)}-")
    return views[:num]


def cpu_s() -> float:
    """Processor time of this process and the children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def peak_mib(who: int) -> float:
    """Largest memory so far of this process, or of the largest child."""
    return resource.getrusage(who).ru_maxrss / 1024


def timed(surface: Surface, rig: Rig, views: list[Viewpoint], jobs: int) -> tuple[float, float, float, csr_array]:
    """Seconds to start, seconds for all views and processor seconds for both, and what is seen."""
    cpu, start = cpu_s(), time.perf_counter()
    with Watch(Setup(surface, rig, rig.requirements), jobs=jobs) as watch:
        watch.seen_from(views[: 8 * jobs])  # Imports, and sends the surface to the processes.
        ready = time.perf_counter()
        seen = watch.seen_from(views)
        done = time.perf_counter()
    return ready - start, done - ready, cpu_s() - cpu, seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="builtin:clutch-half")
    parser.add_argument("--rig", default="paper-quarter")
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--elements", type=int, default=200_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only-full", action="store_true", help="leave out half the candidates and half the elements")
    options = parser.parse_args()
    part, rig = load_part(options.part), load_rig(options.rig)
    whole = surface_of(part, options.elements)
    views = candidates_of(whole, rig, options.candidates)
    cases = {"all": (whole, views)}
    if not options.only_full:
        cases["half the candidates"] = (whole, views[::2])
        cases["half the elements"] = (surface_of(part, options.elements // 2), views)
    print(f"{part.name}, rig {rig.name}, all tests, {options.jobs} processes; CPU with their start")
    print(
        f"{'':20} {'views':>6} {'elements':>9} {'start':>7} {'wall':>8} {'CPU':>8} {'CPU/view':>9} {'seen pairs':>11}"
    )
    for name, (surface, chosen) in cases.items():
        start, wall, cpu, seen = timed(surface, rig, chosen, options.jobs)
        print(
            f"{name:20} {len(chosen):>6} {surface.num_elements:>9} {start:>5.1f} s {wall:>6.1f} s {cpu:>6.1f} s "
            f"{cpu / len(chosen) * 1e3:>6.1f} ms {seen.nnz:>11}",
            flush=True,
        )
    here, child = peak_mib(resource.RUSAGE_SELF), peak_mib(resource.RUSAGE_CHILDREN)
    total = here + (child * options.jobs if options.jobs > 1 else 0.0)
    print(f"peak memory: {here:.0f} MiB here, {child:.0f} MiB in the largest process, at most {total:.0f} MiB in all")


if __name__ == "__main__":
    main()
