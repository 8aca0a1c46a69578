"""The leash on status inquiries, so that banks' polls can never become the outage; pure.

UPI's outage of 12 April 2025 was its banks' polls. The rule that followed there is the house rule here: the
first inquiry about a transfer 90 s after it was received, at most 3 in 2 h. A push tells sooner anyway.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

FIRST_AFTER_S = 90.0  # policy: NPCI circular of April 2025
BUDGET = 3
BUDGET_S = 7200.0
REMEMBERED_MAX = 100_000


@dataclass(slots=True)
class Leash:
    """Inquiries about each transfer, policies divided by `scale`; forgets the least recent beyond its bound."""

    scale: float
    _asked: OrderedDict[Hashable, list[int]] = field(default_factory=OrderedDict)

    def retry_after_s(self, transfer: Hashable, received_ms: int, now_ms: int) -> float:
        """0.0 when this inquiry is within the leash (and counted), else how long the bank should wait."""
        first_ms = received_ms + int(FIRST_AFTER_S * 1000 / self.scale)
        if now_ms < first_ms:
            return (first_ms - now_ms) / 1000
        window_ms = int(BUDGET_S * 1000 / self.scale)
        asked = [at for at in self._asked.get(transfer, []) if now_ms - at < window_ms]
        if len(asked) >= BUDGET:
            return (asked[0] + window_ms - now_ms) / 1000
        self._asked[transfer] = [*asked, now_ms]
        self._asked.move_to_end(transfer)
        if len(self._asked) > REMEMBERED_MAX:
            self._asked.popitem(last=False)
        return 0.0
