"""What a platform on one machine consists of: two banks, their promises, demo wallets and prefunding.

The banks are fictional. `bank-a` asks the gateway before it debits; `bank-b` debits throughout, sends until it is
answered and writes to its customers. Everything follows from the plan and its seed, so that two machines open
the same wallets.
"""

from dataclasses import dataclass, field

from hakika import clock

CURRENCY = "KES"
WALLETS = 200
BLOCKED = 3
CLOSED = 2
# Wallets of synthetic tests, one that takes money and one that sends it back; their numbers are nobody's.
TEST_WALLET, TEST_WALLET_BLOCKED = "254110000001", "254110000002"
FUNDING_MINOR = 5_000_000_000_00  # what each bank has prefunded: never short unless a scenario says so

FIRST_NAMES = (
    "Achieng", "Akinyi", "Amina", "Baraka", "Chebet", "Cherop", "Daudi", "Eunice", "Fatuma", "Gitonga",
    "Halima", "Imani", "Jelimo", "Juma", "Kairu", "Lilian", "Makena", "Mumbi", "Nafula", "Naliaka",
    "Ochieng", "Otieno", "Rehema", "Salim", "Tabitha", "Wairimu", "Wambui", "Zawadi",
)  # fmt: skip
LAST_NAMES = (
    "Abdalla", "Barasa", "Chepkoech", "Gathoni", "Hassan", "Jepchirchir", "Kamau", "Karanja", "Kiptoo",
    "Langat", "Maina", "Mutua", "Mwangi", "Ndung'u", "Njoroge", "Nyambura", "Odhiambo", "Omondi", "Onyango",
    "Simiyu", "Wafula", "Wanjala",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BankPlan:
    """One demo bank."""

    id: str
    name: str
    style: str  # asks_first, sends_throughout
    rule_pack: str
    customers: int = 200

    @property
    def kid(self) -> str:
        """Name of its signing key."""
        return f"{self.id}-1"


@dataclass(frozen=True, slots=True)
class Wallet:
    """A demo wallet; `status` is set after it is opened."""

    msisdn: str
    name: str
    status: str = "open"


@dataclass(frozen=True, slots=True)
class Plan:
    """One platform."""

    banks: tuple[BankPlan, ...]
    scale: float = 1.0  # divides policies, never machine timers
    seed: int = 1
    wallets: int = WALLETS
    probe_every_s: float = 30.0  # three vantages try every way in so often; 0: they do not
    funding_minor: dict[str, int] = field(default_factory=dict)  # by bank, FUNDING_MINOR where absent
    database_links: tuple[str, ...] = ()  # databases that are reached through a link, so that they can be made slow

    @property
    def bank_ids(self) -> tuple[str, ...]:
        """Ids in order."""
        return tuple(bank.id for bank in self.banks)

    def funding_of(self, bank: str) -> int:
        """What the bank prefunds at the start, minor units."""
        return self.funding_minor.get(bank, FUNDING_MINOR)


DEMO_BANKS = (
    BankPlan("bank-a", "Mlima Bank", "asks_first", "house-8h"),
    BankPlan("bank-b", "Rift Trust Bank", "sends_throughout", "house-4h"),
)


def demo_wallets(plan: Plan) -> list[Wallet]:
    """Wallets of the plan: `plan.wallets` open ones, then a few blocked and closed ones."""
    dice = clock.seeded(plan.seed * 7919 + 17)
    numbers: set[str] = set()
    while len(numbers) < plan.wallets + BLOCKED + CLOSED:
        numbers.add(f"2547{dice.randrange(10**7, 10**8)}")
    ordered = sorted(numbers)
    dice.shuffle(ordered)
    statuses = ["open"] * plan.wallets + ["blocked"] * BLOCKED + ["closed"] * CLOSED
    return [
        Wallet(msisdn, f"{dice.choice(FIRST_NAMES)} {dice.choice(LAST_NAMES)}", status)
        for msisdn, status in zip(ordered, statuses, strict=True)
    ]


def synthetic_wallets() -> list[Wallet]:
    """Wallets that synthetic tests pay to; transfers to them are counted nowhere."""
    return [Wallet(TEST_WALLET, "Synthetic Test"), Wallet(TEST_WALLET_BLOCKED, "Synthetic Test", "blocked")]


def unknown_msisdns(plan: Plan, count: int) -> list[str]:
    """Numbers of the right form under which there is no wallet."""
    taken = {wallet.msisdn for wallet in (*demo_wallets(plan), *synthetic_wallets())}
    dice = clock.seeded(plan.seed * 104729 + 3)
    found: list[str] = []
    while len(found) < count:
        msisdn = f"2541{dice.randrange(10**7, 10**8)}"
        if msisdn not in taken:
            found.append(msisdn)
    return found
