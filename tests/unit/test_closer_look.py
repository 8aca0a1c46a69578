"""Which components the detectors want tested more often: those in doubt, and only where tests can decide."""

from hakika.health.assessing import Detectors
from hakika.health.judge import Batch
from hakika.store.health.evidence import ProbeRow

NAMES = ("corridor:bank-a", "corridor:bank-b", "role:core")
VANTAGES = ("probe-1", "probe-2", "probe-3")
AT_MS = 1_795_428_000_000


def told(component: str, at_ms: int, *, ok: bool, vantage: str = "probe-1") -> ProbeRow:
    return ProbeRow(component, vantage, "bank-to-wallet", at_ms, at_ms + 1_000, ok, 1_000, "" if ok else "held")


def test_a_failed_test_makes_its_component_doubted_and_no_other() -> None:
    detectors = Detectors(NAMES)
    detectors.take(Batch(AT_MS, probes=[told(name, AT_MS - 9_000, ok=True) for name in NAMES[:2]]))
    assert detectors.closer(AT_MS) == frozenset()
    detectors.take(Batch(AT_MS + 1_000, probes=[told("corridor:bank-a", AT_MS - 1_000, ok=False)]))
    assert detectors.closer(AT_MS + 1_000) == {"corridor:bank-a"}


def test_the_doubt_ends_with_successes_and_with_an_incident() -> None:
    detectors = Detectors(NAMES)
    failed = [told("corridor:bank-a", AT_MS, ok=False)]
    passed = [told("corridor:bank-b", AT_MS, ok=False)]
    for number in range(1, 30):
        at_ms = AT_MS + number * 5_000
        failed += [told("corridor:bank-a", at_ms, ok=False, vantage=vantage) for vantage in VANTAGES]
        passed += [told("corridor:bank-b", at_ms, ok=True, vantage=vantage) for vantage in VANTAGES]
    seen = detectors.take(Batch(AT_MS + 200_000, probes=[*failed, *passed]))
    assert seen.readings["corridor:bank-a"].level == 3
    assert detectors.closer(AT_MS + 200_000) == frozenset()
