"""The tracking page, as somebody with a link on a slow phone meets it: is it there, right, and small?

The link is that of a test transfer, so that no look is counted as a customer's. Until one is known there is nothing to
ask for.
"""

from dataclasses import dataclass

from hakika.health.vantage.probing import READ_S, Outcome, Probe, Target
from hakika.outbound.probing import Unanswered

PAGE_MAX = 14_000  # bytes over the wire


@dataclass(frozen=True, slots=True)
class TrackingPage:
    """The test of `channel:tracking`."""

    target: Target
    name: str = "tracking-page"
    component: str = "channel:tracking"

    async def run(self) -> Outcome | None:
        """Open the page once."""
        reference = self.target.memory.reference
        if not reference:
            return None
        url = f"{self.target.tracking_url}/t/{reference}"
        answer = await self.target.client.ask("GET", url, deadline_s=READ_S, headers={"Accept": "text/html"})
        if isinstance(answer, Unanswered):
            return Outcome(False, f"tracking_{answer.word}")
        if answer.status == 404:
            self.target.memory.forget()
        if answer.status != 200:
            return Outcome(False, f"tracking_status_{answer.status}")
        if len(answer.body) > PAGE_MAX:
            return Outcome(False, "tracking_large")
        html = answer.headers.get("content-type", "").startswith("text/html")
        right = html and answer.body.rstrip().endswith(b"</html>") and reference.encode() in answer.body
        return Outcome(True) if right else Outcome(False, "tracking_wrong")


def probes(target: Target) -> list[Probe]:
    """One."""
    return [TrackingPage(target)]
