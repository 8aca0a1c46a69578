"""docs/reference/signals.md says what the code does: whose error each reason is, which series there are, the bounds."""

import re
from pathlib import Path

from hakika.domain.blame import TECHNICAL
from hakika.domain.reasons import Reason
from hakika.health.collector import PRUNE_ROWS, SKEW_MAX_MS
from hakika.services.core.signals import CoreSignals
from hakika.services.gateway import patience
from hakika.services.gateway.signals import OPEN_MAX, GatewaySignals
from hakika.services.signals import ANSWER_MAX
from hakika.wire.health_api import SIGNAL_WIDTH_MS, SIGNALS_KEPT

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "signals.md").read_text()


def test_every_reason_is_in_the_table_as_it_counts() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (own error|technical) \|$", PAGE, re.MULTILINE))
    assert rows == {reason.value: "technical" if TECHNICAL[reason] else "own error" for reason in Reason}


def test_every_series_is_in_the_table() -> None:
    gateway = GatewaySignals()
    gateway.known_bank("<bank>")
    counted = [*gateway.counts._tallies, *CoreSignals().counts._tallies]
    listed = re.findall(r"^\| `([a-z]+:[a-z<>-]+)` \| (?:gateway|core) \|", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(counted)


def test_the_bounds_are_those_of_the_code() -> None:
    for words in (
        f"At {patience.FIRST_MS // 1000} s, until the corridor has ended {patience.BLOCK:,} transfers",
        f"never below {patience.FLOOR_MS // 1000} s and never above {patience.CEILING_MS // 1000} s",
        f"stops at {OPEN_MAX:,} a\nbank",
        f"At most {OPEN_MAX:,} open transfers",
        f"at most {ANSWER_MAX} in one answer",
        f"the last {SIGNALS_KEPT} are kept",
        f"closed, {SIGNAL_WIDTH_MS // 1000} s wide",
        f"differs by more than {SKEW_MAX_MS // 1000} s",
        f"{PRUNE_ROWS:,} rows at a time",
    ):
        assert words in PAGE, words
