"""What the core tells health: credits by their outcome, and the answers of its API.

A credit that is asked for again counts again: this is about whether the core answers, transfers are counted by the
gateway. Polls of the session, health's own questions and whatever is about a wallet of synthetic tests do not count.
"""

from collections.abc import Callable, Iterable, Sequence

from hakika.domain.blame import TECHNICAL
from hakika.domain.reasons import Reason
from hakika.services.core.commands import Credit
from hakika.services.signals import Counts
from hakika.wire.core_api import Answer

REASONS = {reason.value: reason for reason in Reason}


class CoreSignals:
    """The counts of one process of the core."""

    def __init__(self, test_wallets: Iterable[str] = (), *, time: Callable[[], int] | None = None) -> None:
        self.counts = Counts(time=time)
        self.role = self.counts.tally("role:core")
        self.api = self.counts.tally("channel:core-api")
        self._test_wallets = frozenset(test_wallets)
        self._test_bytes = tuple(wallet.encode() for wallet in sorted(self._test_wallets))

    def is_test(self, msisdn: str) -> bool:
        """The wallet belongs to synthetic tests."""
        return msisdn in self._test_wallets

    def credited(self, credits: Sequence[Credit], answers: Sequence[Answer]) -> None:
        """Each credit with its stored answer."""
        self.counts.now_ms()
        for credit, answer in zip(credits, answers, strict=True):
            if credit.msisdn in self._test_wallets:
                continue
            self.role.arrived += 1
            if answer.result in ("posted", "burnt"):
                self.role.good()
            elif answer.result == "refused":
                self._refused(answer.reason or "")
            else:
                self.role.fail("senseless")

    def not_credited(self, credits: Sequence[Credit], reason: str) -> None:
        """None of these was answered."""
        self.counts.now_ms()
        for credit in credits:
            if credit.msisdn not in self._test_wallets:
                self.role.arrived += 1
                self.role.fail(reason)

    def answered(self, status: int, reason: str, msisdn: str | None, body: bytes) -> None:
        """A request was answered; `msisdn` is the wallet that its path names."""
        if msisdn in self._test_wallets or (len(body) < 4096 and any(one in body for one in self._test_bytes)):
            return
        self.counts.now_ms()
        self.api.answered(status, reason)

    def _refused(self, reason: str) -> None:
        known = REASONS.get(reason)
        if known is not None and TECHNICAL[known]:
            self.role.fail(reason)
        else:
            self.role.own_error()
