"""The gateway's services over a real database: two banks, messages of them, and lanes that lose commit replies."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from msgspec import structs

from hakika import clock
from hakika.domain.deadlines import HOUSE_4H, RulePack
from hakika.domain.leash import Leash
from hakika.services.gateway.acts import Acts
from hakika.services.gateway.admission import Admission
from hakika.services.gateway.answers import Signer
from hakika.services.gateway.banks import Bank
from hakika.services.gateway.first_attempts import FirstAttempts
from hakika.services.gateway.intake import Arrived, Custody, Intake, arrived
from hakika.services.gateway.signals import GatewaySignals
from hakika.services.gateway.transfers import Desk
from hakika.store.embedded import RoleAccess
from hakika.store.gateway.banks import BankRow, KeyRow, register
from hakika.store.gateway.outgoing import NewMessage
from hakika.store.lane import Lane, Lanes, NoAnswer
from hakika.wire.iso20022.messages import Cancellation, Contact, CreditTransfer, CreditTransferMessage
from hakika.wire.iso20022.writing import write_credit_transfer
from hakika.wire.jws import new_key_pair

T = TypeVar("T")
HOLDER = UUID(int=0xB1)
ANSWER_S = 20.0
KEY, PUBLIC_KEY = new_key_pair()
SIGNER = Signer("hakika", "gateway-1", {"gateway-1": KEY})


def bank(name: str = "bank-a", pack: RulePack = HOUSE_4H) -> Bank:
    """One of the banks that `Gateway.open` registers."""
    return Bank(name, name.title(), f"http://127.0.0.1:1/{name}", pack)


BANKS = tuple(f"bank-{letter}" for letter in "abcde")


def credit(uetr: UUID | None = None, **other: Any) -> CreditTransfer:
    """One transfer; fresh ids where none are given."""
    whole = CreditTransfer(
        uetr=uetr or clock.new_uetr(), end_to_end_id="E2E-1", instruction_id=None, transaction_id=None,
        amount_minor=150_050, currency="KES", debtor_name="Amina Yusuf", debtor_account="0011223344",
        debtor_agent="bank-a", creditor_name="Achieng Otieno", creditor_msisdn="254712345678",
        contact=Contact(phone="254700000001", email=None, language="sw"), remittance="rent",
    )  # fmt: skip
    return structs.replace(whole, **other)


def message(
    *transfers: CreditTransfer,
    msg_id: str | None = None,
    sender: str = "bank-a",
    created_ms: int = 1_690_437_600_000,
) -> Arrived:
    """A pacs.008 as it arrives, with its bytes."""
    content = CreditTransferMessage(msg_id or clock.new_id().hex, created_ms, transfers)
    return arrived(bank(sender), content, write_credit_transfer(content), "protected..signature")


def recall_of(uetr: UUID, cancellation_id: str = "CXL-1") -> Cancellation:
    """A camt.056."""
    return Cancellation("ASG-1", cancellation_id, uetr, None, None, "DUPL")


class ForgetfulLane(Lane):
    """Commits, and then loses the reply as often as told."""

    def __init__(self, url: str, *, name: str, lose: int = 0) -> None:
        super().__init__(url, name=name)
        self.lose = lose
        self.lost = 0

    async def run(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]], *, deadline_s: float) -> T:
        result = await super().run(work, deadline_s=deadline_s)
        if self.lose > 0:
            self.lose -= 1
            self.lost += 1
            raise NoAnswer("the commit reply was lost")
        return result


@dataclass
class Gateway:
    """Intake, desk and acts of one process, started; `rows` reads the database as a reader would."""

    database: RoleAccess
    lanes: Lanes
    intake_lane: ForgetfulLane
    desk_lane: ForgetfulLane
    intake: Intake
    desk: Desk
    acts: Acts
    signals: GatewaySignals
    first: FirstAttempts  # records nothing until it is given a way
    admission: Admission
    told: list[NewMessage]  # messages that the desk has stored, for couriers

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        database: RoleAccess,
        *,
        holder: UUID = HOLDER,
        scale: float = 1.0,
        restored_ms: int | None = None,
        signals: GatewaySignals | None = None,
    ) -> AsyncIterator["Gateway"]:
        """A process of the gateway; several may be open on one database."""
        signals = signals or GatewaySignals()
        lanes = Lanes(database.app_url, size=4, name="test")
        intake_lane = ForgetfulLane(database.app_url, name="test intake")
        desk_lane = ForgetfulLane(database.app_url, name="test desk")
        first, admission = FirstAttempts(holder), Admission(lambda: True)
        intake = Intake(
            intake_lane, receipt_kid="gateway-1", scale=scale, currencies=frozenset({"KES"}), on_custody=lambda: None,
            first=first, admission=admission, restored_ms=restored_ms, signals=signals,
        )  # fmt: skip
        told: list[NewMessage] = []
        desk = Desk(
            desk_lane, holder=holder, on_told=lambda messages, _: told.extend(messages), on_ended=admission.ended,
            signals=signals,
        )  # fmt: skip
        for name in BANKS:
            key = KeyRow(f"{name}-1", name, PUBLIC_KEY.public_bytes_raw())
            row = BankRow(name, name.title(), f"http://127.0.0.1:1/{name}", "house-4h")
            await lanes.run(lambda conn, row=row, key=key: register(conn, row, key, 1), deadline_s=ANSWER_S)  # type: ignore[misc]
        intake.flusher.start()
        desk.flusher.start()
        try:
            acts = Acts(desk, lanes, Leash(scale), restored=restored_ms is not None)
            yield cls(database, lanes, intake_lane, desk_lane, intake, desk, acts, signals, first, admission, told)
        finally:
            await intake.flusher.stop()
            await desk.flusher.stop()
            for lane in (lanes, intake_lane, desk_lane):
                await lane.close()

    async def custody(self, *transfers: CreditTransfer, sender: str = "bank-a") -> list[UUID]:
        """Take transfers into custody; their ids in the database."""
        taken = await self.intake.take(message(*transfers, sender=sender), deadline_s=ANSWER_S)
        if not isinstance(taken, Custody):
            raise AssertionError(f"not taken: {taken}")
        wanted = [transfer.uetr for transfer in transfers]
        found = dict(await self.rows("SELECT uetr, id FROM transfer WHERE uetr = ANY(%s)", wanted))
        return [found[uetr] for uetr in wanted]

    async def rows(self, statement: str, *values: Any) -> list[Any]:
        """Rows as a plain query sees them."""
        connection = await psycopg.AsyncConnection.connect(self.database.owner_url, autocommit=True)
        async with connection:
            return await (await connection.execute(statement.encode(), values or None)).fetchall()

    async def number(self, statement: str, *values: Any) -> int:
        """The single number that a query gives."""
        return int((await self.rows(statement, *values))[0][0])
