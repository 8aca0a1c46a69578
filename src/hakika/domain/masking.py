"""Names and numbers as strangers may see them: enough to recognise, not enough to learn.

The person who typed the number recognises `ACHIENG O.`; someone who guesses links learns no full name and no
full number. M-PESA's checks were capped because people used them to spy on names.
"""

NAME_SHOWN_MAX = 24


def mask_name(name: str) -> str:
    """First name whole, the others as initials, upper case: `Achieng Otieno` -> `ACHIENG O.`."""
    words = name.upper().split()
    if not words:
        return ""
    initials = [f"{word[0]}." for word in words[1:]]
    return " ".join([words[0][:NAME_SHOWN_MAX], *initials])[: NAME_SHOWN_MAX + 8]


def mask_msisdn(msisdn: str) -> str:
    """The last three digits after a national prefix: `254712345678` -> `0712 *** 678`; three or more stay hidden."""
    national = "0" + msisdn[3:] if msisdn.startswith("254") else msisdn
    head = max(0, min(4, len(national) - 6))
    return f"{national[:head]} *** {national[-3:]}".strip()
