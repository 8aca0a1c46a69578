"""G1: bank to wallet, complete: a signed pacs.008 in, custody receipt, wallet credited, final pacs.002 out.

One transfer a message, 256 under way at once, two banks. A transfer's time runs from the first byte of its message to
its final status at the bank; final statuses of one bank are gathered by the gateway for at most 20 ms.
"""

from bench.speed.context import Bench, Counted
from bench.speed.cpu import mean
from bench.speed.cpu import told as in_words
from bench.speed.figures import Row, Target
from bench.speed.loader import Loader
from bench.speed.peers import SAGAS, measured, rates
from bench.speed.platform import Platform
from hakika.domain.breaker import CALM_S

IN_FLIGHT = 256
PER_S_MAX = 6_000
TARGET = Target(ratio=0.5, p99_ms=250.0)


async def measure(bench: Bench) -> list[Row]:
    """One row."""
    name = f"bank to wallet, one a message, {IN_FLIGHT} under way"
    return [await transfers(bench, "G1", name, 1, IN_FLIGHT, PER_S_MAX, TARGET)]


async def transfers(
    bench: Bench, id_: str, name: str, per_message: int, in_flight: int, per_s_max: int, target: Target
) -> Row:
    """Measure transfers of `per_message` a message on a platform of their own."""
    platform = await Platform.start(bench, id_)
    told: list[dict[str, float]] = []
    costs: list[dict[str, float]] = []

    async def work(number: int) -> Counted:
        seconds = bench.seconds if number or bench.seconds < 4 else CALM_S + 5  # the warm-up opens the send window
        messages = int(per_s_max * seconds / per_message)
        settings = platform.load(
            messages=messages, per_message=per_message, in_flight=in_flight, seconds=seconds, seed=1000 + number
        )
        async with Loader("transfers", settings, bench.folder) as loader:
            meter = platform.meter()
            outcome, waits = await loader.go()
        costs.append({**meter.per_unit_ms(outcome["answered"]), "load": loader.cost_ms(outcome)})
        platform.completed += int(outcome["answered"])
        told.append(outcome)
        return Counted(int(outcome["count"]), outcome["seconds"], waits)

    try:
        repeats = await bench.repeated(id_, work)
        ok, words = platform.books()
    finally:
        await platform.stop()
    bench.say(f"  books {'right' if ok else 'WRONG'}: {words}")
    cost = mean(costs[1:])
    bench.say(f"  processor time for one, ms: {in_words(cost)}")
    extra: dict[str, float | str] = {f"cpu_ms_{part}": ms for part, ms in cost.items()}
    extra["load_generator_cores"] = max(one["cpu_share"] for one in told)
    peers = rates(await measured(bench, SAGAS))
    return Row(id_, name, "transfers/s", repeats, ok, target, peers, extra)
