"""What a bank may get wrong, refused by name over real HTTP; nothing is stored, nothing is half-done.

A refusal that follows from the bytes alone is a pacs.002 RJCT; one that depends on time or state carries no
transaction status. After all of it a good transfer still completes.
"""

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from platform_harness import Answer, Engineer, Platform, tracking_of, uetr_of, wait_until

from hakika.wire import jws

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    running = Platform(tmp_path_factory.mktemp("bad"), scale=60)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def engineer(platform: Platform) -> Iterator[Engineer]:
    with Engineer(platform, "bank-b") as signing:
        yield signing


@pytest.fixture
def msisdn(platform: Platform) -> str:
    return str(platform.ready["wallets"][0])


def stored(platform: Platform) -> int:
    return int(platform.rows("gateway", "SELECT count(*) FROM transfer")[0][0])


def refused_by_bytes(answer: Answer, *names: str) -> None:
    """400, pacs.002 with group status RJCT, and the text names the field and the rule."""
    assert answer.status == 400, answer.body
    assert answer.root == "FIToFIPmtStsRpt"
    assert answer.texts("GrpSts") == ["RJCT"]
    text = " ".join(answer.texts("AddtlInf"))
    for name in names:
        assert name.lower() in text.lower(), text


def no_status(answer: Answer, status: int, *names: str) -> None:
    """An admi.002 that names the rule and says nothing about any transfer."""
    assert answer.status == status, answer.body
    assert b"admi.002.001.01" in answer.body
    assert not answer.texts("TxSts") and not answer.texts("GrpSts")
    text = answer.body.decode()
    for name in names:
        assert name.lower() in text.lower(), text


HOSTILE = {
    "doctype": b'<?xml version="1.0"?><!DOCTYPE Document><Document/>',
    "entity bomb": b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><d>&b;</d>',
    "external entity": b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><d>&x;</d>',
    "depth": b"<a>" * 5000 + b"</a>" * 5000,
    "not xml": b'{"json": true}',
    "truncated": b"<?xml version='1.0'?><Document xmlns='urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08'><FIToF",
    "utf-16": '<?xml version="1.0" encoding="UTF-16"?><Document/>'.encode("utf-16"),
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml(platform: Platform, engineer: Engineer, name: str) -> None:
    before = stored(platform)
    started = time.monotonic()
    refused_by_bytes(engineer.send(HOSTILE[name]))
    assert time.monotonic() - started < 1.0
    assert stored(platform) == before


def test_fifty_megabytes(engineer: Engineer) -> None:
    body = b"<a>" + b"x" * 50_000_000 + b"</a>"
    no_status(engineer.send(body, signature="a..b"), 413, "body", "at most")


@pytest.mark.parametrize(
    ("amount", "rule"),
    [("0", "zero"), ("0.00", "zero"), ("-5.00", "sign"), ("10.005", "decimal"), ("1e3", "exponent"), ("١٢٣", "ascii"),
     ("1_000", "ascii"), ("+5", "sign"), ("5.", ""), ("NaN", "")],
)  # fmt: skip
def test_amounts(engineer: Engineer, msisdn: str, amount: str, rule: str) -> None:
    refused_by_bytes(engineer.send(engineer.message(engineer.transfer(msisdn, amount))), "IntrBkSttlmAmt")


def test_wrong_currency(engineer: Engineer, msisdn: str) -> None:
    """What is served may change, so the refusal is stored with its id before it is told: RJCT for that transfer."""
    answer = engineer.send(engineer.message(engineer.transfer(msisdn, currency="USD")))
    assert (answer.status, answer.texts("TxSts"), answer.texts("Cd")) == (202, ["RJCT"], ["AM03"])
    text = " ".join(answer.texts("AddtlInf"))
    assert "currency_not_served" in text and "IntrBkSttlmAmt/@Ccy" in text


def test_unknown_bank(platform: Platform, engineer: Engineer, msisdn: str) -> None:
    body = engineer.message(engineer.transfer(msisdn))
    no_status(engineer.send(body, signature=engineer.sign(body, kid="bank-z-1")), 401, "key_unknown")
    other = engineer.message(engineer.transfer(msisdn, bank="bank-z"))
    refused_by_bytes(engineer.send(other), "DbtrAgt", "bank-b")


def test_signatures(platform: Platform, engineer: Engineer, msisdn: str) -> None:
    body = engineer.message(engineer.transfer(msisdn))
    good = engineer.sign(body)
    with Engineer(platform, "bank-a") as other:
        stolen = other.sign(body, kid=engineer.kid)
    protected, _, signature = good.partition("..")
    before = stored(platform)
    no_status(engineer.send(body, signature=""), 401, "signature_missing")
    no_status(engineer.send(body + b" ", signature=good), 401, "signature_wrong")
    no_status(engineer.send(body, signature=stolen), 401, "signature_wrong")
    wrapped = f"{protected}.{protected}.{signature}"
    no_status(engineer.send(body, signature=wrapped), 401, "signature_malformed")
    no_status(engineer.send(body, signature="e30..e30"), 401, "signature")
    unsigned = jws_none(engineer.kid)
    no_status(engineer.send(body, signature=unsigned), 401, "signature_algorithm")
    assert stored(platform) == before


def jws_none(kid: str) -> str:
    import base64

    header = {"alg": "none", "b64": False, "crit": ["b64"], "kid": kid, "iat": int(time.time())}
    return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode() + ".." + "A" * 86


@pytest.mark.parametrize("off_s", [-600, 600])
def test_clock_ten_minutes_off(engineer: Engineer, msisdn: str, off_s: int) -> None:
    body = engineer.message(engineer.transfer(msisdn))
    stale = engineer.sign(body, iat=int(time.time()) + off_s)
    no_status(engineer.send(body, signature=stale), 401, "signature_stale", "iat")


def test_counts_and_sums(engineer: Engineer, msisdn: str) -> None:
    one = engineer.transfer(msisdn)
    refused_by_bytes(engineer.send(engineer.message(one, count=2)), "NbOfTxs")
    sums = "<CtrlSum>499.99</CtrlSum>"
    refused_by_bytes(engineer.send(engineer.message(one, sums=sums)), "CtrlSum")
    sums = '<TtlIntrBkSttlmAmt Ccy="KES">501.00</TtlIntrBkSttlmAmt>'
    refused_by_bytes(engineer.send(engineer.message(one, sums=sums)), "TtlIntrBkSttlmAmt")
    many = [engineer.transfer(msisdn) for _ in range(1001)]
    refused_by_bytes(engineer.send(engineer.message(*many)), "1000")
    refused_by_bytes(engineer.send(engineer.message(one, one)), "UETR")


def test_a_thousand_in_one_message(platform: Platform, engineer: Engineer) -> None:
    wallets = platform.ready["wallets"]
    many = [engineer.transfer(wallets[n % len(wallets)], "10.00") for n in range(1000)]
    answer = engineer.send(engineer.message(*many))
    assert answer.status == 202
    assert len(set(tracking_of(answer))) == 1000
    uetrs = [uetr_of(item) for item in many]
    wait_until(
        lambda: (
            platform.rows(
                "gateway", "SELECT count(*) FROM transfer WHERE uetr = ANY(%s::uuid[]) AND status = 'COMPLETED'", uetrs
            )[0][0]
            == 1000
        ),
        within_s=30,
    )


def test_replay_and_conflict(platform: Platform, engineer: Engineer, msisdn: str) -> None:
    transfer = engineer.transfer(msisdn)
    body = engineer.message(transfer)
    first = engineer.send(body)
    assert first.status == 202
    again = engineer.send(body)
    assert (again.status, again.body) == (202, first.body)
    assert again.headers["x-custody-receipt"] == first.headers["x-custody-receipt"]
    msg_id = first.texts("OrgnlMsgId")[0]
    replayed = engineer.message(engineer.transfer(msisdn), msg_id=msg_id)
    no_status(engineer.send(replayed), 409, "MsgId")
    other = transfer.replace("500.00", "900.00")
    no_status(engineer.send(engineer.message(other)), 409, "UETR")
    malformed = transfer.replace("500.00", "-1")
    no_status(engineer.send(engineer.message(malformed)), 409, "custody")


def test_64_parallel_copies(platform: Platform, engineer: Engineer, msisdn: str) -> None:
    transfer = engineer.transfer(msisdn, "77.00")
    same = engineer.message(transfer)
    bodies = [same if n % 2 else engineer.message(transfer) for n in range(64)]
    before = balance(platform, msisdn)

    def send(body: bytes) -> Answer:
        with Engineer(platform, "bank-b") as one:
            return one.send(body)

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(send, bodies))
    assert {answer.status for answer in answers} == {202}
    assert len({reference for answer in answers for reference in tracking_of(answer)}) == 1
    assert (
        len({answer.headers["x-custody-receipt"] for answer, n in zip(answers, range(64), strict=True) if n % 2}) == 1
    )
    wait_until(lambda: balance(platform, msisdn) != before, within_s=10)
    time.sleep(0.5)
    assert balance(platform, msisdn) - before == 7700  # once; up to KES 100 there is no fee


def balance(platform: Platform, msisdn: str) -> int:
    row = platform.rows(
        "core",
        "SELECT a.credits_posted - a.debits_posted FROM wallet_account w JOIN account a ON a.id = w.account "
        "WHERE w.msisdn = %s",
        msisdn,
    )
    return int(row[0][0])


def test_unknown_wallet_comes_back_with_its_reason(platform: Platform, engineer: Engineer) -> None:
    transfer = engineer.transfer("254199999999")
    answer = engineer.send(engineer.message(transfer))
    assert answer.status == 202  # custody: whether the wallet exists is the core's to say
    row = wait_until(
        lambda: platform.rows(
            "gateway",
            "SELECT t.status, r.reason, r.return_id FROM transfer t JOIN payment_return r ON r.transfer = t.id "
            "WHERE t.uetr = %s",
            uetr_of(transfer),
        ),
        within_s=10,
    )
    assert row[0][:2] == ("RETURNED", "wallet_unknown")


def test_unknown_inquiry_is_no_evidence(engineer: Engineer) -> None:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.028.001.03">'
        f"<FIToFIPmtStsReq><GrpHdr><MsgId>{uuid.uuid4().hex}</MsgId><CreDtTm>2026-01-01T00:00:00Z</CreDtTm></GrpHdr>"
        f"<TxInf><OrgnlUETR>{uuid.uuid4()}</OrgnlUETR></TxInf></FIToFIPmtStsReq></Document>"
    ).encode()
    no_status(engineer.send(body), 404, "OrgnlUETR")


def test_tracking_guesses(platform: Platform) -> None:
    import httpx2

    url = platform.ready["gateway_url"]
    with httpx2.Client(trust_env=False) as http:
        answers = [http.get(f"{url}/t/{'a' * 26}").status_code for _ in range(1000)]
    assert set(answers) <= {404, 429} and 429 in answers


def test_receipt_is_signed_by_the_gateway(platform: Platform, engineer: Engineer, msisdn: str) -> None:
    transfer = engineer.transfer(msisdn)
    answer = engineer.send(engineer.message(transfer))
    key = jws.load_public_key(platform.ready["gateway_public_key_file"])
    kid = platform.ready["gateway_kid"]
    keys = {kid: key}
    jws.verify_detached(answer.headers["x-jws-signature"], answer.body, keys.get, int(time.time()))
    payload = jws.verify_compact(answer.headers["x-custody-receipt"], keys.get)
    receipt = json.loads(payload[1] if isinstance(payload, tuple) else payload)
    assert receipt["bank"] == "bank-b"
    assert [item["uetr"] for item in receipt["transfers"]] == [uetr_of(transfer)]
    assert receipt["transfers"][0]["tracking"] == tracking_of(answer)[0]
    assert receipt["received"] < receipt["deadline"]
