"""A demo bank as a real process against a scripted gateway: debit, receipt, final word, and every wrong answer."""

import asyncio
import html
import re
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from bank_harness import BANK, CONTROL_TOKEN, Scripted, ScriptedGateway, StartBank, item, until

from hakika import clock
from hakika.counterparties.bookings import Order, debit
from hakika.counterparties.books import Customer, connect, prepare
from hakika.counterparties.door import Response
from hakika.counterparties.faults import CRASH_EXIT_CODE
from hakika.counterparties.messages import instruction_body
from hakika.wire import jws
from hakika.wire.bank_api import QuoteAnswer
from hakika.wire.iso20022 import writing
from hakika.wire.iso20022.messages import CreditTransferMessage, TxStatus

pytestmark = pytest.mark.process

OPENING_MINOR = 1_000_000


def quote(answer: str = "now", **changes: object) -> QuoteAnswer:
    values = {"answer": answer, "advice": "OPEN" if answer == "now" else "HOLD", "as_of_ms": clock.now_ms()}
    return QuoteAnswer(**{**values, "creditor_name": "Am*** W***", **changes})  # type: ignore[arg-type]


async def test_a_transfer_is_debited_accepted_and_completed(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank()
    answer = await bank.pay("r1", language="sw")
    assert answer["result"] == "debited"
    books = bank.books()
    await until(lambda: books.states() == {"r1": "accepted"}, "accepted")
    uetr = UUID(answer["uetr"])
    transfer, msg_id = gateway.custody[uetr]
    assert (transfer.end_to_end_id, transfer.amount_minor) == (answer["end_to_end_id"], 50_000)
    assert transfer.contact.language == "sw"
    seen = (await bank.client.get(f"/transfers/{uetr}")).json()
    assert seen["tracking_url"] == f"{gateway.url}/t/{seen['tracking']}"
    assert seen["receipt"] == gateway.answers[msg_id][1]
    assert seen["deadline_ms"] > seen["accepted_ms"]
    assert gateway.sendings == {msg_id: 1}
    assert books.rows("SELECT * FROM outbox WHERE answered_ms IS NULL") == []
    assert (books.balance("customer:1"), books.balance("in_transit")) == (OPENING_MINOR - 50_000, 50_000)

    body = gateway.completion(uetr)
    assert [await bank.push(body) for _ in range(2)] == [204, 204]
    assert books.states() == {"r1": "completed"}
    assert (books.balance("in_transit"), books.balance("position_mirror")) == (0, 50_000)
    state = await bank.state()
    assert (state["debited"], state["accepted"], state["completed"], state["unsent"]) == (1, 1, 1, 0)
    assert await bank.stop() == 0


async def test_one_request_id_is_one_debit_even_in_sixteen_copies(
    gateway: ScriptedGateway, start_bank: StartBank
) -> None:
    bank = await start_bank()
    answers = await asyncio.gather(*(bank.pay("r1") for _ in range(16)))
    assert len({answer["uetr"] for answer in answers}) == 1
    other = await bank.pay("r1", amount_minor=1)
    assert (other["status"], other["field"]) == (409, "request_id")
    assert bank.books().balance("customer:1") == OPENING_MINOR - 50_000


async def test_a_signed_refusal_gives_the_money_back_once(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    async def refuse(message: CreditTransferMessage, body: bytes, nth: int) -> Scripted:
        return gateway.refusal(message.msg_id)

    gateway.script = refuse
    bank = await start_bank()
    await bank.command(send_twice=1.0)
    await bank.pay("r1")
    await until(lambda: bank.books().states() == {"r1": "rejected"}, "rejected")
    assert bank.books().balance("customer:1") == OPENING_MINOR
    assert bank.books().rows("SELECT reason FROM transfer") == [("FF01",)]
    assert (await bank.state())["unsent"] == 0


async def test_a_stored_refusal_inside_an_acceptance_gives_its_money_back(
    gateway: ScriptedGateway, start_bank: StartBank
) -> None:
    async def refuse(message: CreditTransferMessage, body: bytes, nth: int) -> Scripted:
        (transfer,) = message.transfers
        refused = item(transfer, message.msg_id, TxStatus.REJECTED, reason="DUPL")
        return gateway.signed(202, writing.write_status_report(gateway.report(message.msg_id, (refused,))))

    gateway.script = refuse
    bank = await start_bank()
    await bank.pay("r1")
    await until(lambda: bank.books().states() == {"r1": "rejected"}, "rejected")
    assert bank.books().balance("customer:1") == OPENING_MINOR


async def test_a_return_is_booked_once_and_acknowledged_until_taken(
    gateway: ScriptedGateway, start_bank: StartBank
) -> None:
    bank = await start_bank()
    uetr = UUID((await bank.pay("r1"))["uetr"])
    await until(lambda: uetr in gateway.custody, "custody")
    gateway.refuse_acknowledgements = 2
    body = gateway.money_back(uetr, "RTR-1")
    assert await bank.push(body) == 204
    assert bank.books().states() == {"r1": "returned"}
    assert bank.books().balance("customer:1") == OPENING_MINOR
    await until(lambda: gateway.acknowledged == {"RTR-1": True}, "acknowledged")
    answered = "SELECT count(*) FROM outbox WHERE kind = 'acknowledgement' AND answered_ms IS NOT NULL"
    await until(lambda: bank.books().rows(answered) == [(1,)], "the bank knows that it was taken")
    del gateway.acknowledged["RTR-1"]
    assert await bank.push(body) == 204  # the gateway has not booked our answer: it gets it again
    await until(lambda: gateway.acknowledged == {"RTR-1": True}, "acknowledged again")
    assert len(gateway.acknowledgements["RTR-1"]) == 1
    assert bank.books().balance("customer:1") == OPENING_MINOR


WRONG_ANSWERS = 24


def wrong_answers(gateway: ScriptedGateway, message: CreditTransferMessage, body: bytes) -> dict[str, Response]:
    """Everything that may come back in place of an answer; each breaks one rule alone."""
    good, receipt = gateway.acceptance(message, body)
    with_receipt = (("x-custody-receipt", receipt),)
    (transfer,) = message.transfers
    stranger, _ = jws.new_key_pair()
    now_s = clock.now_ms() // 1000
    forged = jws.sign_detached(good, stranger, "gateway-1", now_s)
    stale = jws.sign_detached(good, gateway.keys.gateway[0], "gateway-1", now_s - 3600)
    received = item(transfer, message.msg_id, TxStatus.RECEIVED)
    doubled = writing.write_status_report(gateway.report(message.msg_id, (received, received)))

    def spoilt(**changes: object) -> Response:
        answer, spoilt_receipt = gateway.acceptance(message, body, **changes)
        return gateway.signed(202, answer, x_custody_receipt=spoilt_receipt)

    def whole(status: int) -> Response:
        return gateway.signed(status, good, x_custody_receipt=receipt)

    other_body, other_receipt = gateway.acceptance(replace(message, msg_id="another-message"), body)
    return {
        **{str(status): whole(status) for status in (200, 401, 404, 409, 413)},
        "page": Response(200, b"<html>Welcome to the captive portal</html>", "text/html"),
        "accepted page": Response(202, b"<html>Thank you</html>", "text/html"),
        "unsigned": Response(202, good, "application/xml", with_receipt),
        "forged": Response(202, good, "application/xml", (*with_receipt, ("x-jws-signature", forged))),
        "stale": Response(202, good, "application/xml", (*with_receipt, ("x-jws-signature", stale))),
        "no receipt": gateway.signed(202, good),
        "other message": gateway.signed(202, other_body, x_custody_receipt=other_receipt),
        "receipt of other content": spoilt(message_sha256="0" * 64),
        "receipt of other bank": spoilt(bank="bank-a"),
        "receipt of other message": spoilt(msg_id="another-message"),
        "receipt of other count": spoilt(count=2),
        "receipt of other transfers": spoilt(transfers=[]),
        "receipt of other answer": spoilt(body_sha256="0" * 64),
        "receipt without deadline": spoilt(deadline="soon"),
        "doubled": gateway.signed(202, doubled, x_custody_receipt=receipt),
        "refusal of another": gateway.refusal("another-message"),
        "refusal of nothing": gateway.refusal("NOTPROVIDED"),
        "unsigned refusal": Response(400, gateway.refusal(message.msg_id).body, "application/xml"),
        "truncated": gateway.signed(202, good[: len(good) // 2], x_custody_receipt=receipt),
    }


async def test_what_is_not_an_answer_is_none(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    wrong: dict[str, str] = {}
    names: list[str] = []

    async def first_wrong(message: CreditTransferMessage, body: bytes, nth: int) -> Scripted:
        answers = wrong_answers(gateway, message, body)
        if not names:
            names.extend(answers)
        if nth > 1:
            return None
        wrong[message.msg_id] = name = names[len(wrong) % len(names)]
        return answers[name]

    gateway.script = first_wrong
    bank = await start_bank()
    for number in range(WRONG_ANSWERS):
        await bank.pay(f"r{number}", amount_minor=1000 + number)
    await until(lambda: set(bank.books().states().values()) == {"accepted"}, "all accepted")
    assert sorted(wrong.values()) == sorted(names) and len(names) == WRONG_ANSWERS
    assert all(gateway.sendings[msg_id] == 2 for msg_id in wrong)
    assert bank.books().balance("customer:1") == OPENING_MINOR - sum(1000 + number for number in range(WRONG_ANSWERS))
    assert (await bank.state())["not_answers"] == WRONG_ANSWERS


async def test_busy_is_obeyed_and_silence_is_no_answer(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    sent_s: list[float] = []

    async def busy(message: CreditTransferMessage, body: bytes, nth: int) -> Scripted:
        sent_s.append(clock.monotonic_s())
        return Response(503, headers=(("retry-after", "1"),)) if nth == 1 else None

    gateway.script = busy
    bank = await start_bank()
    await bank.pay("r1")
    await until(lambda: bank.books().states() == {"r1": "accepted"}, "accepted")
    assert sent_s[1] - sent_s[0] >= 0.95


async def test_an_outage_of_the_gateway_loses_nothing(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    await gateway.stop()
    bank = await start_bank()
    for number in range(20):
        assert (await bank.pay(f"r{number}"))["result"] == "debited"
    assert (await bank.state())["unsent"] == 20
    assert await bank.stop() == 0
    await bank.start()
    await gateway.start()
    await until(lambda: set(bank.books().states().values()) == {"accepted"}, "all accepted")
    assert len(gateway.custody) == 20


async def test_the_bank_that_asks_first_debits_only_on_now(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank(style="asks_first")
    expected: list[tuple[QuoteAnswer | Response | None, str]] = [
        (quote("held", final_by_ms=1), "corridor_held"),
        (quote("not_now"), "corridor_not_now"),
        (quote("now", reason="wallet_unknown"), "wallet_unknown"),
        (None, "no_answer_from_gateway"),
        (Response(200, b'{"answer":"now","advice":"OPEN","as_of_ms":1}'), "no_answer_from_gateway"),  # unsigned
    ]
    for answer, reason in expected:
        gateway.quote = answer
        refused = await bank.pay("r1")
        assert (refused["result"], refused["reason"]) == ("not_debited", reason)
    assert bank.books().states() == {}
    gateway.quote = quote("now")
    assert (await bank.pay("r1"))["result"] == "debited"
    gateway.quote = quote("not_now")  # HOLD after the debit does not stop the send, nor the answer to a repeat
    assert (await bank.pay("r1"))["result"] == "debited"
    await until(lambda: bank.books().states() == {"r1": "accepted"}, "accepted")
    assert (await bank.state())["not_debited"]["corridor_held"] == 1


async def test_an_order_to_a_test_wallet_is_debited_unasked(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank(style="asks_first", test_wallets=["254110000001"])
    gateway.quote = quote("not_now", reason="wallet_blocked")
    assert (await bank.pay("customer"))["result"] == "not_debited"
    assert (await bank.pay("test", creditor_msisdn="254110000001"))["result"] == "debited"


async def test_contradictions_are_recorded_and_move_nothing(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank()
    uetrs = {name: UUID((await bank.pay(name))["uetr"]) for name in ("back", "done", "open", "other")}
    await until(lambda: set(uetrs.values()) <= set(gateway.custody), "custody")
    await until(lambda: set(bank.books().states().values()) == {"accepted"}, "accepted")
    assert await bank.push(gateway.money_back(uetrs["back"], "RTR-back")) == 204
    assert await bank.push(gateway.completion(uetrs["done"])) == 204
    before = bank.books().rows("SELECT * FROM account ORDER BY name")

    assert await bank.push(gateway.completion(uetrs["back"])) == 204  # completed after a return
    assert await bank.push(gateway.money_back(uetrs["back"], "RTR-second")) == 204
    assert await bank.push(gateway.money_back(uetrs["done"], "RTR-done")) == 204
    assert await bank.push(gateway.money_back(uetrs["open"], "RTR-short", amount_minor=1)) == 204
    assert await bank.push(gateway.money_back(uetrs["open"], "RTR-unknown", uetr=clock.new_uetr())) == 204
    assert await bank.push(gateway.money_back(uetrs["open"], "RTR-back")) == 204  # another transfer's id
    transfer, msg_id = gateway.custody[uetrs["open"]]
    refused = item(transfer, msg_id, TxStatus.REJECTED, reason="AC03")
    assert await bank.push(writing.write_status_report(gateway.report(msg_id, (refused,)))) == 204

    assert bank.books().rows("SELECT * FROM account ORDER BY name") == before
    assert (await bank.state())["contradictions"] == 7
    expected = {"RTR-back": True, "RTR-second": False, "RTR-done": False, "RTR-short": False}
    await until(lambda: gateway.acknowledged == {**expected, "RTR-unknown": False}, "refused returns are answered")
    assert bank.books().states()["open"] == "accepted"


async def test_what_is_not_signed_or_not_readable_is_refused(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank()
    uetr = UUID((await bank.pay("r1"))["uetr"])
    await until(lambda: uetr in gateway.custody, "custody")
    body = gateway.completion(uetr)
    unsigned = await bank.client.post("/iso20022", content=body)
    assert (unsigned.status_code, unsigned.json()["code"]) == (401, "signature_missing")
    assert await bank.push(b"<Document/>") == 400
    assert await bank.push(body[:-20]) == 400
    assert bank.books().states() == {"r1": "accepted"}


async def test_pending_is_recorded_only(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank()
    uetr = UUID((await bank.pay("r1"))["uetr"])
    await until(lambda: uetr in gateway.custody, "custody")
    transfer, msg_id = gateway.custody[uetr]
    pending = item(transfer, msg_id, TxStatus.PENDING, reason="AM04")
    assert await bank.push(writing.write_status_report(gateway.report(msg_id, (pending,)))) == 204
    assert bank.books().rows("SELECT status, reason FROM progress") == [("PDNG", "AM04")]
    assert bank.books().balance("in_transit") == 50_000


async def test_inquiries_find_the_end_and_obey_the_leash(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank(poll_after_s=0.2)
    done, back = [UUID((await bank.pay(name))["uetr"]) for name in ("done", "back")]
    await until(lambda: {done, back} <= set(gateway.custody), "custody")
    gateway.inquiry_answers = [Response(404), Response(429, headers=(("retry-after", "1"),))]
    gateway.completion(done)
    gateway.money_back(back, "RTR-1")
    await until(lambda: bank.books().states() == {"done": "completed", "back": "returned"}, "ends found by asking")
    await until(lambda: gateway.acknowledged == {"RTR-1": True}, "acknowledged")


async def test_several_transfers_travel_in_one_message(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank(transfers_per_message=10, gather_ms=300)
    answers = await asyncio.gather(*(bank.pay(f"r{number}", customer=1 + number % 3) for number in range(10)))
    await until(lambda: len(gateway.custody) == 10, "custody")
    assert len(gateway.bodies) == 1
    await until(lambda: set(bank.books().states().values()) == {"accepted"}, "accepted")
    uetrs = [UUID(answer["uetr"]) for answer in answers]
    assert await bank.push(gateway.completion(*uetrs)) == 204
    assert set(bank.books().states().values()) == {"completed"}


def a_thousand_debits(books_file: Path) -> None:
    """One message of 1,000 transfers in the outbox, as a crash after the debit leaves it."""
    customer = Customer(1, "Achieng Abdi", "254700000001", "a@customers.example", "en")
    orders = [
        Order(f"r{number}", 1, "254712345678", "Amina Wanjiku", 100, "KES", None, str(clock.new_uetr()), f"e{number}")
        for number in range(1000)
    ]
    conn = connect(books_file)
    prepare(conn, [customer], OPENING_MINOR)
    conn.execute("BEGIN")
    debit(conn, orders, BANK, clock.new_id().hex, instruction_body, clock.now_ms())
    conn.execute("COMMIT")
    conn.close()


async def test_a_thousand_final_words_are_one_commit(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank(seed_books=a_thousand_debits)
    await until(lambda: set(bank.books().states().values()) == {"accepted"}, "accepted")
    assert len(gateway.bodies) == 1 and len(gateway.custody) == 1000
    body = gateway.completion(*gateway.custody)
    await bank.command(crash_at="before_final_commit")
    with pytest.raises(httpx2.TransportError):
        await bank.push(body)
    assert bank.process is not None and await bank.process.wait() == CRASH_EXIT_CODE
    bank.books().check()
    assert set(bank.books().states().values()) == {"accepted"}  # none without the others
    await bank.start()
    assert await bank.push(body) == 204
    assert set(bank.books().states().values()) == {"completed"}


async def test_customers_are_written_to_when_they_wait(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank(notice_after_s=0.1)
    uetr = UUID((await bank.pay("r1"))["uetr"])
    await until(lambda: bank.books().rows("SELECT * FROM notice"), "a notice")
    assert await bank.push(gateway.completion(uetr)) == 204
    kinds = bank.books().rows("SELECT customer, kind FROM notice ORDER BY at_ms")
    assert kinds == [(1, "held"), (1, "arrived")]


BAD_ORDERS: list[tuple[dict[str, object], str]] = [
    ({"creditor_msisdn": "+254712345678"}, "creditor_msisdn"),
    ({"creditor_msisdn": "٢٥٤٧١٢٣٤٥٦٧٨"}, "creditor_msisdn"),
    ({"creditor_name": " "}, "creditor_name"),
    ({"creditor_name": "A\x00B"}, "creditor_name"),
    ({"creditor_name": "x" * 141}, "creditor_name"),
    ({"amount_minor": 0}, "amount_minor"),
    ({"amount_minor": -5}, "amount_minor"),
    ({"amount_minor": 10**15 + 1}, "amount_minor"),
    ({"amount_minor": 1.5}, "amount_minor"),
    ({"amount_minor": "100"}, "amount_minor"),
    ({"currency": "USD"}, "currency"),
    ({"language": "de"}, "language"),
    ({"request_id": ""}, "request_id"),
    ({"request_id": "a b"}, "request_id"),
    ({"more": 1}, "more"),
]


async def test_a_bad_order_or_command_is_refused_by_field(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank()
    for changes, field in BAD_ORDERS:
        answer = await bank.pay(**{"request_id": "r1", **changes})  # type: ignore[arg-type]
        assert (answer["status"], answer["field"]) == (400, field), answer
    assert (await bank.pay("r1", customer=99))["status"] == 404
    assert (await bank.pay("r1", amount_minor=OPENING_MINOR + 1))["reason"] == "insufficient_funds"
    assert bank.books().states() == {}

    without_token = await bank.client.post("/control", json={"faults": {}})
    assert without_token.status_code == 401
    token = {"authorization": f"Bearer {CONTROL_TOKEN}"}
    for faults, field in (
        ({"crash_at": "nowhere"}, "faults.crash_at"),
        ({"lose_answers": 2}, "faults.lose_answers"),
        ({"late_answers_ms": {"count": 1}}, "faults.late_answers_ms"),
        ({"rain": 1}, "faults.rain"),
    ):
        refused = await bank.client.post("/control", json={"faults": faults}, headers=token)
        assert (refused.status_code, refused.json()["field"]) == (400, field), refused.text


async def test_the_page_asks_before_it_debits(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    gateway.quote = quote(creditor_name="A*** <W***>", fee_minor=500)
    bank = await start_bank(style="asks_first", name="Bahari & Co")
    home = await bank.client.get("/")
    assert home.status_code == 200 and "Bahari &amp; Co" in home.text and "<script" not in home.text
    assert "style-src 'sha256-" in home.headers["content-security-policy"]
    typed = {"customer": "1", "msisdn": "0712 345 678", "amount": "1,500.50"}
    question = await bank.client.post("/send", data=typed)
    assert "KES 1,500.50" in question.text and "A*** &lt;W***&gt;" in question.text and "0712 345 678" in question.text
    assert bank.books().states() == {}
    hidden = dict(re.findall(r'name="([a-z_]+)" value="([^"]*)"', question.text))
    hidden = {name: html.unescape(value) for name, value in hidden.items()}
    elsewhere = await bank.client.post("/send/confirm", data=hidden, headers={"origin": "https://evil.example"})
    assert elsewhere.status_code == 400 and bank.books().states() == {}
    for _ in range(2):
        assert (await bank.client.post("/send/confirm", data=hidden)).status_code == 303
    assert bank.books().rows("SELECT amount_minor FROM transfer") == [(150_050,)]
    await until(lambda: "accepted" in bank.books().states().values(), "accepted")
    assert f"{gateway.url}/t/" in (await bank.client.get("/")).text
    wrong = await bank.client.post("/send", data={**typed, "amount": "<b>1e3</b>"})
    assert wrong.status_code == 400 and "&lt;b&gt;1e3" in wrong.text
    gateway.quote = quote("held", final_by_ms=clock.now_ms())
    held = await bank.client.post("/send", data=typed)
    assert "Yes, send" not in held.text and "stays in your account" in held.text
