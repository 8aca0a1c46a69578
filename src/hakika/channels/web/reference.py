"""The reference under /t/: 128 random bits as 26 lower-case base32 characters (RFC 4648, no padding).

The link is all that stands between a stranger and a transfer, so there is exactly one spelling of each: what
does not decode to 16 bytes and encode back to the same text is no reference, and nothing is looked up for it.
"""

import base64
import re

from hakika.domain.reasons import InvariantBroken
from hakika.ids import reference_text

REFERENCE_BYTES = 16
REFERENCE_CHARS = 26

# 26 characters carry 130 bits: the last one's two lowest bits are zero.
_REFERENCE = re.compile(r"[a-z2-7]{25}[aeimquy4]", re.ASCII)


def encode_reference(raw: bytes) -> str:
    """The text of 16 random bytes."""
    if len(raw) != REFERENCE_BYTES:
        raise InvariantBroken(f"a tracking reference has {REFERENCE_BYTES} bytes, not {len(raw)}")
    return reference_text(raw)


def decode_reference(text: str) -> bytes | None:
    """The 16 bytes of a reference, or None when the text is none."""
    if _REFERENCE.fullmatch(text) is None:
        return None
    return base64.b32decode(text.upper() + "======")
