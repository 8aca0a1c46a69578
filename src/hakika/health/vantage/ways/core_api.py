"""The core's own API: does it tell the test wallet's balance?

Asked with the vantages' token, which opens the wallets of synthetic tests and nothing else.
"""

from dataclasses import dataclass

from hakika.health.vantage.probing import READ_S, Outcome, Probe, Target
from hakika.outbound.probing import Unanswered


@dataclass(frozen=True, slots=True)
class CoreApi:
    """The test of `channel:core-api`."""

    target: Target
    name: str = "core-api"
    component: str = "channel:core-api"

    async def run(self) -> Outcome:
        """Ask for the wallet once."""
        target = self.target
        answer = await target.client.ask(
            "GET",
            f"{target.core_url}/test-wallets/{target.test_wallet}",
            deadline_s=READ_S,
            headers={"Authorization": f"Bearer {target.core_token}"},
        )
        if isinstance(answer, Unanswered):
            return Outcome(False, f"core_{answer.word}")
        if answer.status == 503:
            return Outcome(False, "core_busy")
        if answer.status != 200:
            return Outcome(False, f"core_status_{answer.status}")
        wallet = answer.json()
        good = wallet.get("msisdn") == target.test_wallet and type(wallet.get("balance_minor")) is int
        return Outcome(True) if good else Outcome(False, "core_wrong")


def probes(target: Target) -> list[Probe]:
    """One, where the vantage may ask the core."""
    return [CoreApi(target)] if target.core_url else []
