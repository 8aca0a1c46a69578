"""Signatures: the RFCs' own vectors, a table of hostile headers, and bytes changed after signing.

Every refusal is checked by its code, because the code is what the caller's program sees.
"""

import base64
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import OctKey, OKPKey
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter

from hakika.wire import jws
from hakika.wire.jws import SignatureCode, SignatureRefused

NOW_S = 1_690_449_330
KID = "bank-a-1"
BODY = b'<?xml version="1.0" encoding="UTF-8"?>\n<Document>one & only.</Document>'
KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
GOOD = {"alg": "EdDSA", "b64": False, "crit": ["b64"], "iat": NOW_S, "kid": KID}


def keys(kid: str) -> Ed25519PublicKey | None:
    return {KID: KEY.public_key(), "bank-b-1": OTHER_KEY.public_key()}.get(kid)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_detached(header: bytes, payload: bytes = BODY, key: Ed25519PrivateKey = KEY) -> str:
    """Signed as RFC 7797 says, with any bytes as header."""
    protected = b64(header)
    return f"{protected}..{b64(key.sign(protected.encode() + b'.' + payload))}"


def detached(**changes: Any) -> str:
    """A correctly signed header with members changed, or removed where the value is `...`."""
    header = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return raw_detached(json.dumps(header).encode())


def refusal(value: str | None, payload: bytes = BODY, now_s: int = NOW_S) -> SignatureCode:
    with pytest.raises(SignatureRefused) as caught:
        jws.verify_detached(value, payload, keys, now_s)
    assert caught.value.rule
    return caught.value.code


def test_a_signature_of_ours_verifies_and_is_the_same_every_time() -> None:
    value = jws.sign_detached(BODY, KEY, KID, NOW_S)
    assert value == jws.sign_detached(BODY, KEY, KID, NOW_S)
    assert jws.verify_detached(value, BODY, keys, NOW_S) == jws.Verified(KID, NOW_S)
    assert value == raw_detached(json.dumps(GOOD, separators=(",", ":")).encode())


@pytest.mark.parametrize("payload", [b"", b"abc", b"abc\n", b"a-b_c~", b"\xff\x00 not text", BODY, b"x" * 5_000_000])
def test_any_payload_is_detached(payload: bytes) -> None:
    if payload.startswith(b"\xff"):
        value = raw_detached(json.dumps(GOOD).encode(), payload)
    else:
        value = jws.sign_detached(payload, KEY, KID, NOW_S)
    assert value.split(".")[1] == ""
    assert jws.verify_detached(value, payload, keys, NOW_S).kid == KID


def test_no_warning_leaves_the_library() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jws.verify_detached(jws.sign_detached(BODY, KEY, KID, NOW_S), BODY, keys, NOW_S)


def test_rfc_8037_appendix_a_4_is_signed_as_printed() -> None:
    """RFC 8037, A.4: Ed25519 over `Example of Ed25519 signing` with the key of A.1."""
    secret = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = Ed25519PrivateKey.from_private_bytes(secret)
    expected = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    protected, inside = jws._protected(alg="EdDSA"), b64(b"Example of Ed25519 signing")
    assert f"{protected}.{inside}.{jws._signed(protected, inside.encode(), key)}" == expected
    with pytest.raises(SignatureRefused) as caught:  # a valid signature, but not of the kind that we take
        jws.verify_compact(expected, lambda _: key.public_key())
    assert caught.value.code is SignatureCode.MALFORMED


OTHERS = JWSRegistry(header_registry={"iat": HeaderParameter("Issued At", "int")}, algorithms=["EdDSA"])
OTHERS.max_payload_length = 1_000_000


@pytest.mark.filterwarnings("ignore:.*EdDSA.*")  # RFC 9864 has another name for it; the bank API has this one
@given(st.binary(max_size=3_000))
def test_another_library_verifies_ours_and_we_what_it_signs(payload: bytes) -> None:
    """joserfc, which shares no code with us but the curve's own rules."""
    public, private = OKPKey.import_key(KEY.public_key()), OKPKey.import_key(KEY)
    ours = jws.sign_detached(payload, KEY, KID, NOW_S)
    found = joserfc_jws.deserialize_compact(ours, public, registry=OTHERS, payload=payload)
    assert found.headers() == GOOD
    whole = jws.sign_compact(payload, KEY, KID)
    assert joserfc_jws.deserialize_compact(whole, public, registry=OTHERS).payload == payload
    typed = {"alg": "EdDSA", "kid": KID, "typ": jws.RECEIPT_TYPE}
    assert joserfc_jws.serialize_compact(typed, payload, private, registry=OTHERS) == whole
    with pytest.raises(BadSignatureError):
        joserfc_jws.deserialize_compact(ours, public, registry=OTHERS, payload=payload + b" ")


def test_rfc_7797_section_4_2_is_reproduced_by_the_other_library() -> None:
    """RFC 7797, 4.2: HS256 with b64 false over `$.02`; the same signing input rule as ours."""
    secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
    header = {"alg": "HS256", "b64": False, "crit": ["b64"]}
    value = joserfc_jws.serialize_compact(header, b"$.02", OctKey.import_key({"kty": "oct", "k": secret}))
    expected = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY"
    assert value == expected
    assert refusal(value, b"$.02") is SignatureCode.ALGORITHM


def member_twice(name: str, first: Any, second: Any) -> str:
    inside = json.dumps(GOOD)[1:-1]
    start = f"{json.dumps(name)}: {json.dumps(first)}, " if name not in GOOD else ""
    return raw_detached(("{" + start + inside + f", {json.dumps(name)}: {json.dumps(second)}" + "}").encode())


JWK = {"kty": "OKP", "crv": "Ed25519", "x": b64(b"\x03" * 32)}
VALUE = detached()
PROTECTED, _, SIGNATURE = VALUE.split(".")
MALFORMED, ALGORITHM = SignatureCode.MALFORMED, SignatureCode.ALGORITHM
HOSTILE: dict[str, tuple[str | None, SignatureCode]] = {
    "no header": (None, SignatureCode.MISSING),
    "empty header": ("", SignatureCode.MISSING),
    "alg none, no signature": (f"{b64(json.dumps({**GOOD, 'alg': 'none'}).encode())}..", ALGORITHM),
    "alg none, signed": (detached(alg="none"), ALGORITHM),
    "alg NONE": (detached(alg="nOnE"), ALGORITHM),
    "alg HS256": (detached(alg="HS256"), ALGORITHM),
    "alg ES256": (detached(alg="ES256"), ALGORITHM),
    "alg Ed25519": (detached(alg="Ed25519"), ALGORITHM),
    "alg missing": (detached(alg=...), ALGORITHM),
    "alg a list": (detached(alg=["EdDSA"]), ALGORITHM),
    "alg null": (detached(alg=None), ALGORITHM),
    "jwk embedded": (detached(jwk=JWK), MALFORMED),
    "jku": (detached(jku="https://example.org/keys"), MALFORMED),
    "x5c": (detached(x5c=["MIIB"]), MALFORMED),
    "typ": (detached(typ="JOSE"), MALFORMED),
    "an unknown member": (detached(exp=NOW_S + 60), MALFORMED),
    "payload attached": (f"{PROTECTED}.{b64(BODY)}.{SIGNATURE}", MALFORMED),
    "b64 true": (detached(b64=True), MALFORMED),
    "b64 missing": (detached(b64=...), MALFORMED),
    "b64 zero": (detached(b64=0), MALFORMED),
    "b64 text": (detached(b64="false"), MALFORMED),
    "crit missing": (detached(crit=...), MALFORMED),
    "crit empty": (detached(crit=[]), MALFORMED),
    "crit with more": (detached(crit=["b64", "iat"]), MALFORMED),
    "crit twice": (detached(crit=["b64", "b64"]), MALFORMED),
    "crit text": (detached(crit="b64"), MALFORMED),
    "flattened JSON": (json.dumps({"protected": PROTECTED, "signature": SIGNATURE}), MALFORMED),
    "general JSON": (json.dumps({"signatures": [{"protected": PROTECTED, "signature": SIGNATURE}]}), MALFORMED),
    "space before": (f" {VALUE}", MALFORMED),
    "newline after": (f"{VALUE}\n", MALFORMED),
    "space inside": (f"{PROTECTED} ..{SIGNATURE}", MALFORMED),
    "two segments": (f"{PROTECTED}.{SIGNATURE}", MALFORMED),
    "four segments": (f"{VALUE}.", MALFORMED),
    "five segments": (f"{PROTECTED}....{SIGNATURE}", MALFORMED),
    "two signatures": (f"{VALUE}, {VALUE}", MALFORMED),
    "padding": (f"{PROTECTED}..{SIGNATURE}==", MALFORMED),
    "ordinary base64": (f"{PROTECTED}..{'+/' + SIGNATURE[2:]}", MALFORMED),
    "not ASCII": (f"{PROTECTED}..{SIGNATURE[:-1]}é", MALFORMED),
    "empty protected": (f"..{SIGNATURE}", MALFORMED),
    "empty signature": (f"{PROTECTED}..", MALFORMED),
    "short signature": (f"{PROTECTED}..{SIGNATURE[:-4]}", MALFORMED),
    "long signature": (f"{PROTECTED}..{SIGNATURE}AAAA", MALFORMED),
    "huge header": ("A" * 5000 + f"..{SIGNATURE}", MALFORMED),
    "protected is no base64": (f"A..{SIGNATURE}", MALFORMED),
    "protected is no JSON": (raw_detached(b"alg=EdDSA"), MALFORMED),
    "protected is no object": (raw_detached(b'["EdDSA"]'), MALFORMED),
    "protected is not UTF-8": (raw_detached(b'{"alg":"\xff"}'), MALFORMED),
    "protected nested deep": (raw_detached(b"[" * 300), MALFORMED),
    "alg twice": (member_twice("alg", "", "EdDSA"), MALFORMED),
    "kid twice": (member_twice("kid", "", "bank-b-1"), MALFORMED),
    "iat twice": (member_twice("iat", "", NOW_S), MALFORMED),
    "kid missing": (detached(kid=...), MALFORMED),
    "kid a number": (detached(kid=1), MALFORMED),
    "kid empty": (detached(kid=""), MALFORMED),
    "kid a path": (detached(kid="../../etc/passwd"), MALFORMED),
    "kid too long": (detached(kid="k" * 65), MALFORMED),
    "kid unknown": (detached(kid="bank-z-1"), SignatureCode.KEY_UNKNOWN),
    "iat missing": (detached(iat=...), MALFORMED),
    "iat a float": (detached(iat=float(NOW_S)), MALFORMED),
    "iat a boolean": (detached(iat=True), MALFORMED),
    "iat text": (detached(iat=str(NOW_S)), MALFORMED),
    "iat null": (detached(iat=None), MALFORMED),
    "iat negative": (detached(iat=-1), MALFORMED),
    "iat huge": (detached(iat=10**30), MALFORMED),
    "iat NaN": (raw_detached(json.dumps(GOOD).replace(str(NOW_S), "NaN").encode()), MALFORMED),
    "iat an exponent": (raw_detached(json.dumps(GOOD).replace(str(NOW_S), "1.690449330e9").encode()), MALFORMED),
    "iat in milliseconds": (detached(iat=NOW_S * 1000), MALFORMED),
    "ten minutes early": (detached(iat=NOW_S - 600), SignatureCode.STALE),
    "ten minutes late": (detached(iat=NOW_S + 600), SignatureCode.STALE),
    "another bank's key": (raw_detached(json.dumps(GOOD).encode(), key=OTHER_KEY), SignatureCode.WRONG),
    "another bank's kid": (detached(kid="bank-b-1").rpartition(".")[0] + f".{SIGNATURE}", SignatureCode.WRONG),
    "zero signature": (f"{PROTECTED}..{b64(bytes(64))}", SignatureCode.WRONG),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_signature_is_refused_by_name(name: str) -> None:
    value, code = HOSTILE[name]
    assert refusal(value) is code


def test_the_unchanged_header_of_the_table_is_good() -> None:
    assert jws.verify_detached(VALUE, BODY, keys, NOW_S) == jws.Verified(KID, NOW_S)


@pytest.mark.parametrize(("offset_s", "good"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_the_window_is_five_minutes_either_way(offset_s: int, good: bool) -> None:
    value = detached()
    if good:
        assert jws.verify_detached(value, BODY, keys, NOW_S + offset_s).iat_s == NOW_S
    else:
        assert refusal(value, now_s=NOW_S + offset_s) is SignatureCode.STALE


@pytest.mark.parametrize("segment", [0, 2])
def test_a_second_base64_form_of_the_same_bytes_is_refused(segment: int) -> None:
    """Both last characters below decode to the same bytes; only one of them is canonical."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    segments = VALUE.split(".")
    last = alphabet.index(segments[segment][-1])
    spare = (len(segments[segment]) * 6) % 8
    assert spare in (2, 4)
    segments[segment] = segments[segment][:-1] + alphabet[last ^ 1]
    assert refusal(".".join(segments)) is SignatureCode.MALFORMED


@given(data=st.data(), body=st.binary(min_size=1, max_size=300))
@settings(max_examples=150, deadline=None)
def test_one_changed_byte_of_the_payload_is_refused(data: st.DataObject, body: bytes) -> None:
    value = raw_detached(json.dumps(GOOD).encode(), body)
    at = data.draw(st.integers(0, len(body) - 1))
    mask = data.draw(st.integers(1, 255))
    changed = body[:at] + bytes([body[at] ^ mask]) + body[at + 1 :]
    assert refusal(value, changed) is SignatureCode.WRONG
    assert refusal(value, body + b"\n") is SignatureCode.WRONG
    assert refusal(value, body[:-1]) is SignatureCode.WRONG


@given(at=st.integers(0, len(VALUE) - 1), character=st.characters(min_codepoint=32, max_codepoint=0x17F))
@settings(max_examples=300, deadline=None)
def test_one_changed_character_of_the_signature_is_refused(at: int, character: str) -> None:
    changed = VALUE[:at] + character + VALUE[at + 1 :]
    if changed != VALUE:
        assert refusal(changed)


@given(value=st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_noise_is_refused_and_never_raises_anything_else(value: str) -> None:
    assert refusal(value)


def test_the_key_register_is_asked_for_the_kid_alone() -> None:
    asked: list[str] = []

    def register(kid: str) -> Ed25519PublicKey | None:
        asked.append(kid)
        return keys(kid)

    jws.verify_detached(detached(), BODY, register, NOW_S)
    assert asked == [KID]


def test_receipt_is_deterministic_and_verifies() -> None:
    payload = b'{"iss":"hakika"}'
    value = jws.sign_compact(payload, KEY, KID)
    assert value == jws.sign_compact(payload, KEY, KID)
    assert jws.verify_compact(value, keys) == (KID, payload)


def compact(header: dict[str, Any], payload: bytes = b"{}", key: Ed25519PrivateKey = KEY) -> str:
    start = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    return f"{start}.{b64(key.sign(start.encode()))}"


RECEIPT = {"alg": "EdDSA", "kid": KID, "typ": jws.RECEIPT_TYPE}
HOSTILE_RECEIPTS: dict[str, tuple[str | None, SignatureCode]] = {
    "missing": (None, SignatureCode.MISSING),
    "another type": (compact({**RECEIPT, "typ": "JWT"}), MALFORMED),
    "no type": (compact({"alg": "EdDSA", "kid": KID}), MALFORMED),
    "jwk": (compact({**RECEIPT, "jwk": JWK}), MALFORMED),
    "unencoded payload": (compact({**RECEIPT, "b64": False, "crit": ["b64"]}), MALFORMED),
    "alg none": (compact({**RECEIPT, "alg": "none"}), ALGORITHM),
    "another key": (compact(RECEIPT, key=OTHER_KEY), SignatureCode.WRONG),
    "unknown kid": (compact({**RECEIPT, "kid": "z"}), SignatureCode.KEY_UNKNOWN),
    "payload taken out": (compact(RECEIPT).replace("." + b64(b"{}") + ".", ".."), SignatureCode.WRONG),
    "payload changed": (compact(RECEIPT).replace("." + b64(b"{}") + ".", f".{b64(b'[]')}."), SignatureCode.WRONG),
    "a detached signature": (VALUE, MALFORMED),
}


@pytest.mark.parametrize("name", HOSTILE_RECEIPTS)
def test_hostile_receipt_is_refused_by_name(name: str) -> None:
    value, code = HOSTILE_RECEIPTS[name]
    with pytest.raises(SignatureRefused) as caught:
        jws.verify_compact(value, keys)
    assert caught.value.code is code


def test_keys_survive_their_files(tmp_path: Path) -> None:
    private, public = jws.new_key_pair()
    private_file, public_file = tmp_path / "a.pem", tmp_path / "a.pub.pem"
    private_file.write_bytes(jws.private_pem(private))
    public_file.write_bytes(jws.public_pem(public))
    value = jws.sign_detached(BODY, jws.load_private_key(private_file), KID, NOW_S)
    assert jws.verify_detached(value, BODY, lambda _: jws.load_public_key(public_file), NOW_S).kid == KID


@pytest.mark.parametrize("load", [jws.load_private_key, jws.load_public_key])
@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_without_a_key_is_refused(tmp_path: Path, load: Callable[[Path], object], content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(jws.KeyFileRefused):
        load(path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    key = ec.derive_private_key(7, ec.SECP256R1())
    private_file, public_file = tmp_path / "ec.pem", tmp_path / "ec.pub.pem"
    private_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public_file.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(jws.KeyFileRefused):
        jws.load_private_key(private_file)
    with pytest.raises(jws.KeyFileRefused):
        jws.load_public_key(public_file)
