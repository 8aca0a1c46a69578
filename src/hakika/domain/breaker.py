"""The breaker of one far side: how many instructions may be open, and whether fresh ones may be sent; pure.

A far side that stops answering should hold few transfers in doubt, not a backlog. So at most `window`
attempts are open at once; the first doubt closes the way for fresh transfers and shrinks the window; only
what is already in doubt is asked about (status, resend or burn); when all of it is resolved the way opens
again with a small window that doubles with each full round of answers, up to WINDOW_USUAL. Wider than that it
becomes only for a far side that has given no trouble for a while and answers full rounds fast. The while is CALM_S
after trouble that came alone, and twice as long each time that it comes back soon, as in an outage (docs/adr/0011):
so where the far side comes and goes every few seconds, soon no more than WINDOW_USUAL are in doubt, and otherwise no
more than it answers in a fraction of a second.
"""

from dataclasses import dataclass

WINDOW_MAX = 512
WINDOW_USUAL = 64
WINDOW_MIN = 4
CALM_S = 2.0  # machine timer: without trouble for so long before the window widens beyond the usual
CALM_MOST_S = 16.0  # machine timer: the same where trouble has come back again and again
FORGIVEN_S = 20.0  # machine timer: trouble after so long without any has come alone
ROUND_FAST_S = 0.15  # a round that is answered in this time may be wider
ROUND_SLOW_S = 0.5  # one that takes longer is too wide
SESSION_FRESH_S = 3.0  # machine timer: a connection counts as live this long after its last answer


@dataclass(slots=True)
class Breaker:
    """State of one far side; times are monotonic seconds handed in."""

    window: int = WINDOW_USUAL
    open: bool = True  # open like an electric breaker: nothing fresh flows until a session is established
    doubts: bool = True  # attempts without an answer may exist: look before sending anything fresh
    last_answer_s: float = float("-inf")
    since_s: float = 0.0  # when it tripped; set to the start of the process by its owner
    calm_since_s: float = float("inf")  # when fresh transfers began to flow after the last trouble
    calm_s: float = CALM_S  # for how long they have to, before the window is wider than usual
    troubled: bool = False  # it has given trouble since this process first had a way to it

    def answered(self, now_s: float) -> None:
        """Any authenticated answer came: the far side lives."""
        self.last_answer_s = now_s

    def round_complete(self, count: int, now_s: float, took_s: float) -> None:
        """A round of `count` instructions was answered `took_s` after it was sent."""
        if self.open:
            return
        if took_s > ROUND_SLOW_S and self.window > WINDOW_USUAL:
            self.window //= 2
            return
        calm = now_s - self.calm_since_s >= self.calm_s and took_s <= ROUND_FAST_S
        if count >= self.window // 2:
            self.window = max(self.window, min(WINDOW_MAX if calm else WINDOW_USUAL, self.window * 2))

    def silent(self, now_s: float) -> None:
        """An instruction was sent and no answer came: trip, and resolve before anything fresh."""
        self._trip(now_s)
        self.doubts = True
        self.since_s = now_s  # each silence begins the wait for orphans again

    def unreachable(self, now_s: float) -> None:
        """No connection could be made, or the session is not answered: trip; nothing new is in doubt."""
        self._trip(now_s)
        self.last_answer_s = float("-inf")

    def resolved(self, now_s: float) -> None:
        """Nothing is in doubt any more and the far side has just answered: fresh transfers may flow."""
        self.doubts = False
        if self.live(now_s) and self.open:
            self.open = False
            self.calm_since_s = now_s

    def live(self, now_s: float) -> bool:
        """An answer came within SESSION_FRESH_S."""
        return now_s - self.last_answer_s <= SESSION_FRESH_S

    def sendable(self, now_s: float) -> bool:
        """Fresh instructions may be recorded and sent."""
        return not self.open and not self.doubts and self.live(now_s)

    def flowing_s(self, now_s: float) -> float:
        """For how long fresh transfers have flown; 0 while they do not."""
        return 0.0 if self.open else max(0.0, now_s - self.calm_since_s)

    def full(self) -> bool:
        """The window is as wide as usual: no doubt for a while."""
        return self.window >= WINDOW_USUAL

    def _trip(self, now_s: float) -> None:
        if not self.open:
            self.since_s = now_s
            alone = not self.troubled or now_s - self.calm_since_s >= FORGIVEN_S
            self.troubled = True
            self.calm_s = CALM_S if alone else min(CALM_MOST_S, 2 * self.calm_s)
        self.open = True
        self.window = WINDOW_MIN
