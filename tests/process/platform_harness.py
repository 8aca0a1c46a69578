"""A whole platform in processes of its own, and a bank's engineer who signs and sends by hand.

`Platform` runs `hakika up` on a folder, as a user would, and reads its ready file. `Engineer` has a bank's key and
speaks HTTP directly to the gateway: nothing of the platform's own client code is between the test and the wire.
"""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from lxml import etree

from hakika.wire import jws

ROOT = Path(__file__).parent.parent.parent
START_S = 60
PACS_008 = "urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"

TRANSFER = """<CdtTrfTxInf><PmtId><EndToEndId>{e2e}</EndToEndId><UETR>{uetr}</UETR></PmtId>\
<IntrBkSttlmAmt Ccy="{currency}">{amount}</IntrBkSttlmAmt><ChrgBr>SLEV</ChrgBr><Dbtr><Nm>{debtor}</Nm></Dbtr>\
<DbtrAgt><FinInstnId><ClrSysMmbId><MmbId>{bank}</MmbId></ClrSysMmbId></FinInstnId></DbtrAgt>\
<CdtrAgt><FinInstnId><ClrSysMmbId><MmbId>hakika</MmbId></ClrSysMmbId></FinInstnId></CdtrAgt>\
<Cdtr><Nm>Wanjiku Kamau</Nm></Cdtr><CdtrAcct><Id><Othr><Id>{msisdn}</Id></Othr></Id></CdtrAcct></CdtTrfTxInf>"""

MESSAGE = """<?xml version="1.0" encoding="UTF-8"?><Document xmlns="{namespace}"><FIToFICstmrCdtTrf><GrpHdr>\
<MsgId>{msg_id}</MsgId><CreDtTm>{created}</CreDtTm><NbOfTxs>{count}</NbOfTxs>{sums}\
<SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf></GrpHdr>{transfers}</FIToFICstmrCdtTrf></Document>"""


@dataclass
class Platform:
    """`hakika up` on a folder; `ready` is its ready file."""

    folder: Path
    scale: float = 1.0
    probe_every_s: float = 0.0  # test cents would be counted with what a test sends itself
    ready: dict[str, Any] = field(default_factory=dict)
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        ready_file = self.folder / "ready-here.json"
        ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "hakika.cli", "up", "--state", str(self.folder / "up")]
        command += ["--ready-file", str(ready_file), "--scale", str(self.scale)]
        command += ["--probe-every", str(self.probe_every_s)]
        self._log = (self.folder / "up.log").open("ab")
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
        ends = time.monotonic() + START_S
        while not ready_file.exists():
            if self._process.poll() is not None or time.monotonic() > ends:
                words = (self.folder / "up.log").read_text()[-4000:]
                self.power_off()
                raise RuntimeError(f"hakika up did not start:\n{words}\n{self.last_words('supervisor')}")
            time.sleep(0.02)
        self.ready = json.loads(ready_file.read_text())

    def wait_for_health(self) -> None:
        """`ready` with health in it: the platform is ready before."""
        file = self.folder / "ready-here.json"
        try:
            wait_until(lambda: "health" in json.loads(file.read_text())["databases"], within_s=START_S)
        except AssertionError as late:
            self.power_off()  # the fixture that failed here stops nothing
            raise AssertionError(f"health does not start:\n{self.last_words('supervisor', 'health')}") from late
        self.ready = json.loads(file.read_text())

    def last_words(self, *processes: str) -> str:
        """The ends of these processes' logs."""
        files = [self.folder / "up" / "log" / f"{name}.log" for name in processes]
        return "\n".join(f"{file.name}:\n{file.read_text()[-3000:]}" for file in files if file.exists())

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
        self._log.close()

    def power_off(self) -> None:
        """SIGKILL of everything at once, databases included: nobody says goodbye."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while self.processes():
            time.sleep(0.02)
        self._log.close()

    def processes(self) -> list[int]:
        """Every live process whose command line names our folder, PostgreSQL's children included."""
        found = set()
        needle = str(self.folder).encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                here = needle in (entry / "cmdline").read_bytes() or needle in os.fsencode(os.readlink(entry / "cwd"))
            except OSError:
                continue
            if here and state != "Z":
                found.add(int(entry.name))
        return sorted(found)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `hakika ...` against this platform's folder."""
        command = [sys.executable, "-m", "hakika.cli", *arguments, "--state", str(self.folder / "up")]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def bank(self, bank_id: str) -> dict[str, Any]:
        return next(bank for bank in self.ready["banks"] if bank["id"] == bank_id)

    def rows(self, role: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.ready["databases"][role], connect_timeout=5) as conn:
            return conn.execute(statement, values).fetchall()


@dataclass
class Answer:
    """An HTTP answer with its XML, if it has any."""

    status: int
    headers: Any
    body: bytes

    def xml(self) -> etree._Element:
        return etree.fromstring(self.body)

    @property
    def root(self) -> str:
        return etree.QName(self.xml()[0]).localname

    def texts(self, name: str) -> list[str]:
        return [element.text or "" for element in self.xml().iter(f"{{*}}{name}")]


class Engineer:
    """Signs with a bank's key and sends."""

    def __init__(self, platform: Platform, bank_id: str) -> None:
        bank = platform.bank(bank_id)
        self.bank_id = bank_id
        self.kid = bank["kid"]
        self.key = jws.load_private_key(bank["key_file"])
        self.gateway = platform.ready["gateway_url"]
        self.http = httpx2.Client(trust_env=False, timeout=30)

    def __enter__(self) -> "Engineer":
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()

    def sign(self, body: bytes, *, iat: int | None = None, kid: str | None = None) -> str:
        """A detached JWS by hand (RFC 7515, RFC 7797), so that the gateway meets another implementation."""
        iat = int(time.time()) if iat is None else iat
        header = {"alg": "EdDSA", "b64": False, "crit": ["b64"], "kid": kid or self.kid, "iat": iat}
        protected = _base64url(json.dumps(header).encode())
        return f"{protected}..{_base64url(self.key.sign(protected.encode() + b'.' + body))}"

    def send(self, body: bytes, *, signature: str | None = None, path: str = "/iso20022") -> Answer:
        headers = {"Content-Type": "application/xml"}
        signed = self.sign(body) if signature is None else signature
        if signed:
            headers["X-JWS-Signature"] = signed
        response = self.http.post(self.gateway + path, content=body, headers=headers)
        return Answer(response.status_code, response.headers, response.content)

    def transfer(self, msisdn: str, amount: str = "500.00", **changes: Any) -> str:
        values: dict[str, Any] = {
            "e2e": "E2E" + uuid.uuid4().hex[:20],
            "uetr": str(uuid.uuid4()),
            "currency": "KES",
            "amount": amount,
            "debtor": "Achieng Otieno",
            "bank": self.bank_id,
            "msisdn": msisdn,
        }
        return TRANSFER.format(**{**values, **changes})

    def message(self, *transfers: str, msg_id: str | None = None, count: int | None = None, sums: str = "") -> bytes:
        return MESSAGE.format(
            namespace=PACS_008,
            msg_id=msg_id or uuid.uuid4().hex,
            created=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            count=len(transfers) if count is None else count,
            sums=sums,
            transfers="".join(transfers),
        ).encode()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def uetr_of(transfer: str) -> str:
    """The UETR inside a transfer's XML."""
    return transfer.partition("<UETR>")[2].partition("</UETR>")[0]


def tracking_of(answer: Answer) -> list[str]:
    """The tracking references in a custody answer's body."""
    return answer.texts("AcctSvcrRef")


def wait_until(condition: Any, *, within_s: float, every_s: float = 0.05) -> Any:
    """The first true value of `condition()`; fails after `within_s`."""
    ends = time.monotonic() + within_s
    while time.monotonic() < ends:
        value = condition()
        if value:
            return value
        time.sleep(every_s)
    raise AssertionError(f"not true within {within_s:g} s")
