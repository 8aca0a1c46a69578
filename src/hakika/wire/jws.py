"""Signatures between institutions: JWS with Ed25519 (RFC 7515, RFC 8037), two forms and no choice in either.

`X-JWS-Signature` is detached with an unencoded payload (RFC 7797): `protected..signature` over the body's raw
bytes, so nothing is parsed before it is verified. `X-Custody-Receipt` is the ordinary compact form with its
payload inside. The verifier fixes algorithm, header members and base64 form by itself and takes the key from
its own register by `kid`; whatever the header says beyond that is refused, never obeyed. libsodium does the
curve; with the header checked member by member, all that is left of JWS is to join the segments (docs/adr/0006).
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from hakika.clock import secret_bytes

ALGORITHM = "EdDSA"
WINDOW_S = 300  # how far `iat` may lie from our clock, either way
HEADER_VALUE_MAX = 1024  # characters of X-JWS-Signature
PROTECTED_MAX = 512  # characters of its first segment
COMPACT_MAX = 64_000  # characters of a compact JWS
KID_MAX = 64
IAT_MAX_S = 2**40
SIGNATURE_BYTES, SIGNATURE_CHARACTERS = 64, 86  # the second in base64url
RECEIPT_TYPE = "custody-receipt+jws"

_DETACHED_MEMBERS = {"alg", "b64", "crit", "iat", "kid"}
_COMPACT_MEMBERS = {"alg", "kid", "typ"}
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_KID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


class SignatureCode(StrEnum):
    """Why a signature was refused: the short code in the answer to the caller."""

    MISSING = "signature_missing"
    MALFORMED = "signature_malformed"
    ALGORITHM = "signature_algorithm"
    KEY_UNKNOWN = "key_unknown"
    STALE = "signature_stale"
    WRONG = "signature_wrong"


class SignatureRefused(Exception):
    """The signature is not accepted; `code` is for programs, `rule` says in plain words what must hold."""

    def __init__(self, code: SignatureCode, rule: str) -> None:
        super().__init__(f"{code}: {rule}")
        self.code = code
        self.rule = rule


class KeyFileRefused(ValueError):
    """The file does not hold one Ed25519 key in PEM."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Who signed, and when by their own clock."""

    kid: str
    iat_s: int


_raw: dict[int, tuple[Ed25519PrivateKey | Ed25519PublicKey, bytes]] = {}
KEYS_MAX = 4096  # banks' keys and ours; beyond that all are taken out again


def _for_curve(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """The key as libsodium has it, taken out once for each object."""
    known = _raw.get(id(key))
    if known is None or known[0] is not key:
        if len(_raw) >= KEYS_MAX:
            _raw.clear()
        if isinstance(key, Ed25519PrivateKey):
            _, plain = crypto_sign_seed_keypair(key.private_bytes_raw())
        else:
            plain = key.public_bytes_raw()
        known = _raw[id(key)] = (key, plain)
    return known[1]


def _signed(protected: str, payload: bytes, key: Ed25519PrivateKey) -> str:
    """The last segment: the signature over the first two (RFC 7515, 5.1; RFC 7797, 3)."""
    message = b"".join((protected.encode("ascii"), b".", payload))
    return _encoded(crypto_sign(message, _for_curve(key))[:SIGNATURE_BYTES])


@lru_cache(maxsize=256)  # the members of one second, or of all time
def _protected(**members: bool | int | str) -> str:
    """The first segment, members in the order given; `crit` follows from `b64`."""
    header: dict[str, Any] = {}
    for name, value in members.items():
        header[name] = value
        if name == "b64":
            header["crit"] = ["b64"]
    return _encoded(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8"))


def sign_detached(payload: bytes, key: Ed25519PrivateKey, kid: str, iat_s: int) -> str:
    """The value of X-JWS-Signature for `payload`, in UTF-8, signed at `iat_s` (seconds since 1970 UTC)."""
    protected = _protected(alg=ALGORITHM, b64=False, iat=iat_s, kid=kid)
    return f"{protected}..{_signed(protected, payload, key)}"


def verify_detached(
    header_value: str | None,
    payload: bytes,
    keys: Callable[[str], Ed25519PublicKey | None],
    now_s: int,
    window_s: int = WINDOW_S,
) -> Verified:
    """Check X-JWS-Signature over the raw body, or SignatureRefused (RFC 7515, 5.2; RFC 7797, 3)."""
    if not header_value:
        raise SignatureRefused(SignatureCode.MISSING, "the request carries a header X-JWS-Signature")
    protected, inside, signature = _segments(header_value, HEADER_VALUE_MAX)
    if inside:
        raise _malformed("the payload is detached: the middle segment is empty (protected..signature)")
    header = _header(protected)
    _check_members(header, _DETACHED_MEMBERS)
    if header["b64"] is not False or header["crit"] != ["b64"]:
        raise _malformed('the header has "b64": false and "crit": ["b64"] (RFC 7797)')
    iat_s = header["iat"]
    if type(iat_s) is not int or not 0 <= iat_s <= IAT_MAX_S:
        raise _malformed("iat is a whole number of seconds since 1970-01-01 UTC")
    key = _key(header, keys)
    if abs(now_s - iat_s) > window_s:
        rule = f"iat lies within {window_s} s of our clock; iat is {iat_s}, our clock says {now_s}"
        raise SignatureRefused(SignatureCode.STALE, rule)
    _check_signature(protected, payload, signature, key)
    return Verified(kid=header["kid"], iat_s=iat_s)


def sign_compact(payload: bytes, key: Ed25519PrivateKey, kid: str, typ: str = RECEIPT_TYPE) -> str:
    """A compact JWS with `payload` inside; the same inputs give the same text, as no time is in it."""
    protected, inside = _protected(alg=ALGORITHM, kid=kid, typ=typ), _encoded(payload)
    return f"{protected}.{inside}.{_signed(protected, inside.encode('ascii'), key)}"


def verify_compact(
    value: str | None, keys: Callable[[str], Ed25519PublicKey | None], typ: str = RECEIPT_TYPE
) -> tuple[str, bytes]:
    """The `kid` and payload of a compact JWS made by `sign_compact`; SignatureRefused names the rule."""
    if not value:
        raise SignatureRefused(SignatureCode.MISSING, "there is no signed receipt")
    protected, payload, signature = _segments(value, COMPACT_MAX)
    header = _header(protected)
    _check_members(header, _COMPACT_MEMBERS)
    if header["typ"] != typ:
        raise _malformed(f"typ is {typ}")
    key = _key(header, keys)
    decoded = _decoded(payload)
    _check_signature(protected, payload.encode("ascii"), signature, key)
    return header["kid"], decoded


def load_private_key(path: Path | str) -> Ed25519PrivateKey:
    """The Ed25519 private key in a PKCS8 PEM file; KeyFileRefused or OSError."""
    try:
        key = serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileRefused(f"{path}: not an unencrypted private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileRefused(f"{path}: not an Ed25519 key")
    return key


def load_public_key(path: Path | str) -> Ed25519PublicKey:
    """The Ed25519 public key in a PEM file; KeyFileRefused or OSError."""
    try:
        key = serialization.load_pem_public_key(Path(path).read_bytes())
    except (ValueError, TypeError) as error:
        raise KeyFileRefused(f"{path}: not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileRefused(f"{path}: not an Ed25519 key")
    return key


def new_key_pair() -> tuple[Ed25519PrivateKey, Ed25519PublicKey]:
    """A fresh Ed25519 key pair."""
    private = Ed25519PrivateKey.from_private_bytes(secret_bytes(32))
    return private, private.public_key()


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """PKCS8 PEM without a password; the file that holds it is 0600."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: Ed25519PublicKey) -> bytes:
    """SubjectPublicKeyInfo PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _malformed(rule: str) -> SignatureRefused:
    return SignatureRefused(SignatureCode.MALFORMED, rule)


def _segments(value: str, characters_max: int) -> tuple[str, str, str]:
    """The three segments of a compact serialisation; no JSON form, no whitespace, no other alphabet."""
    if len(value) > characters_max:
        raise _malformed(f"a signature has at most {characters_max} characters")
    segments = value.split(".")
    if len(segments) != 3:
        raise _malformed("a signature is three segments parted by points (compact serialisation)")
    protected, payload, signature = segments
    for segment in segments:
        if segment and _BASE64URL.fullmatch(segment) is None:
            raise _malformed("segments are base64url without padding or whitespace (RFC 7515, 2)")
    if not protected or len(protected) > PROTECTED_MAX:
        raise _malformed(f"the protected header has 1 to {PROTECTED_MAX} characters")
    return protected, payload, signature


def _decoded(segment: str) -> bytes:
    """Base64url in its one canonical form: decoding and encoding again gives the same characters."""
    try:
        decoded = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (Base64Error, ValueError) as error:
        raise _malformed("segments are base64url without padding (RFC 7515, 2)") from error
    if _encoded(decoded) != segment:
        raise _malformed("segments are base64url in canonical form: unused bits are zero")
    return decoded


def _encoded(plain: bytes) -> str:
    return urlsafe_b64encode(plain).rstrip(b"=").decode("ascii")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _malformed("each header member appears once (RFC 7515, 4)")
    return members


@lru_cache(maxsize=1024)  # the same for all messages of one signer in one second; never changed by whoever gets it
def _header(segment: str) -> dict[str, Any]:
    """The protected header as a JSON object with unique members, and an algorithm that we verify."""
    try:
        header = json.loads(_decoded(segment).decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _malformed("the protected header is a JSON object in UTF-8") from error
    if not isinstance(header, dict):
        raise _malformed("the protected header is a JSON object in UTF-8")
    if header.get("alg") != ALGORITHM:
        raise SignatureRefused(SignatureCode.ALGORITHM, f"alg is {ALGORITHM} with an Ed25519 key, nothing else")
    return header


def _check_members(header: dict[str, Any], expected: set[str]) -> None:
    if header.keys() != expected:
        raise _malformed(f"the protected header has exactly the members {', '.join(sorted(expected))}")


def _key(header: dict[str, Any], keys: Callable[[str], Ed25519PublicKey | None]) -> Ed25519PublicKey:
    kid = header["kid"]
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        raise _malformed(f"kid is 1 to {KID_MAX} letters, digits or . _ : -")
    key = keys(kid)
    if key is None:
        raise SignatureRefused(SignatureCode.KEY_UNKNOWN, "kid names a key that is registered with us")
    return key


def _check_signature(protected: str, payload: bytes, signature: str, key: Ed25519PublicKey) -> None:
    """The curve's own answer over the first segment, a point, and the payload as it is signed (RFC 7515, 5.2)."""
    if len(signature) != SIGNATURE_CHARACTERS:
        raise _malformed(f"an Ed25519 signature has {SIGNATURE_CHARACTERS} characters")
    message = b"".join((_decoded(signature), protected.encode("ascii"), b".", payload))
    try:
        crypto_sign_open(message, _for_curve(key))
    except (BadSignatureError, ValueError) as error:
        rule = "the signature was made by this kid's key over exactly these bytes"
        raise SignatureRefused(SignatureCode.WRONG, rule) from error
