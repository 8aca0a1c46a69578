"""The ways in that are tried: every module of this package, each with `probes(target)`.

A new channel is one new file here; nothing else has to know it.
"""

import importlib
import pkgutil

from hakika.health.vantage.probing import Probe, Target


def all_probes(target: Target) -> list[Probe]:
    """The tests of every way in that `target` has, in the order of their files."""
    found: list[Probe] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda one: one.name):
        found += importlib.import_module(f"{__name__}.{module.name}").probes(target)
    return found
