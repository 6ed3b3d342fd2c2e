"""What secrets and personal data look like, strictly: each pattern asks for more than its letters (checksums, known lengths,
plausible neighbours), because a count that is mostly version numbers is soon ignored.

All functions look at JSON text as it stands in a file, so a text may begin behind `\\n` or `\\u00e9`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

_Buffer = bytes | bytearray | memoryview

# A line break or a character written as an escape ends with a letter or digit, and still is a border.
_ESCAPE = rb"(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4})"
_BEFORE_WORD = rb"(?:(?<![A-Za-z0-9_])|" + _ESCAPE + rb")"
_BEFORE_NUMBER = rb"(?:(?<![A-Za-z0-9_.+-])|" + _ESCAPE + rb")"
_AFTER_NUMBER = rb"(?![A-Za-z0-9_-]|\.[0-9])"
_AFTER_WORD = rb"(?![A-Za-z0-9_])"

_TOKENS = re.compile(
    _BEFORE_WORD
    + rb"""(?:
      (?P<github_token>gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{50,251})
    | (?P<gitlab_token>glpat-[A-Za-z0-9_-]{20,64})
    | (?P<huggingface_token>hf_[A-Za-z0-9]{34,40})
    | (?P<anthropic_key>sk-ant-[A-Za-z0-9_-]{24,200})
    | (?P<openai_key>sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,200}|sk-[A-Za-z0-9]{48})
    | (?P<stripe_key>[sr]k_(?:live|test)_[A-Za-z0-9]{16,247})
    | (?P<slack_token>xox[abeoprs]-[0-9]{6,}-[A-Za-z0-9-]{10,200})
    | (?P<google_key>AIza[A-Za-z0-9_-]{35})
    | (?P<aws_key>A[KS]IA[A-Z2-7]{16})
    | (?P<jwt>eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{16,2000})
    )"""
    + _AFTER_WORD
    + rb"|(?P<private_key>-----BEGIN\ (?:[A-Z0-9]+\ ){0,3}PRIVATE\ KEY(?:\ BLOCK)?-----)",
    re.VERBOSE,
)
_LEAST_DIFFERENT = 10

_LOCAL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+-"
_DOMAIN = re.compile(rb"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}([A-Za-z]{2,24})(?![A-Za-z0-9@-])")
_TOP_LEVEL = frozenset(
    b"com org net edu gov mil int info biz name pro dev app cloud tech online site store shop email mail blog live work "
    b"world today space club agency company digital group media network news studio team life email xyz top icu mobi "
    b"asia jobs travel museum health academy school university bank law consulting solutions services systems software "
    b"web page wiki global international science foundation ngo eus cat gal berlin hamburg london paris tokyo nyc".split()
)
# Endings of files that no country uses.
_NO_COUNTRY = frozenset((b"js", b"ts", b"rb", b"cs", b"vb", b"xz", b"db", b"px"))
_RESERVED = (b"example.com", b"example.org", b"example.net", b"localhost.localdomain")
_URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,20}:(?:\\?/){2}([^\s/:@\"'<>]{0,64}):([^\s/@\"'<>]{1,128})\Z")
_PLACEHOLDERS = frozenset((b"password", b"passwd", b"pass", b"pwd", b"secret", b"token", b"changeme", b"example"))

# North American groups need brackets, or the same sign between them: lists of numbers are parted by spaces.
_PHONE = re.compile(
    _BEFORE_NUMBER
    + rb"(?:\+[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{1,5}\)?){2,6}|(?:1[ .-]?)?"
    + rb"(?:\([2-9][0-9]{2}\)[ ]?[2-9][0-9]{2}[ .-]|[2-9][0-9]{2}([.-])[2-9][0-9]{2}\1)[0-9]{4})"
    + _AFTER_NUMBER
)
# Decimal fractions with a sign, and dates.
_NO_PHONE = re.compile(rb"\A\+[0-9]+\.[0-9]+\Z|[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SSN = re.compile(_BEFORE_NUMBER + rb"(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}" + _AFTER_NUMBER)
_CARD = re.compile(
    _BEFORE_NUMBER
    + rb"(?:[0-9]{14,16}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5})"
    + _AFTER_NUMBER
)
_IBAN = re.compile(_BEFORE_WORD + rb"[A-Z]{2}[0-9]{2}(?:[ ]?[A-Z0-9]){11,30}")
_IP = re.compile(_BEFORE_NUMBER + rb"[0-9]{1,3}(?:\.[0-9]{1,3}){3}" + _AFTER_NUMBER)
_VERSION = re.compile(rb"(?:[A-Za-z]/|(?:versions?|ver|build|release|section)[^A-Za-z0-9]{0,3})\Z", re.IGNORECASE)
_LEAST_ADDRESS = 11
# Object identifiers (`1.3.101.110`) begin like this and look like addresses.
_OBJECTS = ("1.2.", "1.3.", "2.5.", "2.16.")
_IBANS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 "
    "FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 "
    "LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 "
    "SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
_IBAN_LENGTHS = {country[:2]: int(country[2:]) for country in _IBANS.split()}


def tokens(buffer: _Buffer, start: int, end: int) -> Iterator[tuple[str, int]]:
    """(kind, place) of the secrets with a recognisable beginning that begin between two places."""
    for place in range(start, end):
        match = _TOKENS.match(buffer, place)
        if match and _random(match.lastgroup or "", match.group()):
            yield match.lastgroup or "", place


def at_sign(buffer: _Buffer, place: int) -> str | None:
    """What an `@` belongs to: `url_password`, `email`, or nothing of the kind."""
    before = bytes(buffer[max(0, place - 300) : place])
    slashes = max(before.rfind(b"//"), before.rfind(b"\\/"))
    if slashes >= 0:
        url = _URL.search(before, max(0, slashes - 24))
        if url:
            host = bytes(buffer[place + 1 : place + 40]).lower()
            invented = _placeholder(url.group(1), url.group(2)) or host.startswith(_RESERVED)
            return None if invented else "url_password"
    domain = _DOMAIN.match(buffer, place + 1)
    return "email" if domain and _known_domain(domain) and _mailbox(before[-72:]) else None


def is_phone(buffer: _Buffer, place: int) -> bool:
    """Whether a telephone number begins here: international with `+`, or North American in groups."""
    match = _PHONE.match(buffer, place)
    if not match or _NO_PHONE.search(match.group()):
        return False
    digits = sum(0x30 <= byte <= 0x39 for byte in match.group())
    # Fewer than ten digits in one go may be an amount or an offset.
    grouped = len(match.group()) > digits + 1
    return 8 <= digits <= 15 and (grouped or digits >= 10)


def is_ssn(buffer: _Buffer, place: int) -> bool:
    """Whether a US social security number begins here."""
    return _SSN.match(buffer, place) is not None


def is_card(buffer: _Buffer, place: int) -> bool:
    """Whether a payment card's number begins here: the beginning and length of a brand, and Luhn's checksum."""
    match = _CARD.match(buffer, place)
    if not match:
        return False
    digits = match.group().translate(None, b" -").decode()
    return _brand(digits) and _luhn(digits)


def is_iban(buffer: _Buffer, place: int) -> bool:
    """Whether an IBAN begins here: the length of its country, and its checksum modulo 97."""
    match = _IBAN.match(buffer, place)
    if not match:
        return False
    written = match.group().replace(b" ", b"").decode()
    length = _IBAN_LENGTHS.get(written[:2], 0)
    if not 0 < length <= len(written):
        return False
    number = written[4:length] + written[:4]
    return int("".join(str(int(letter, 36)) for letter in number)) % 97 == 1


def is_public_ip(buffer: _Buffer, place: int) -> bool:
    """Whether a public IPv4 address begins here.

    At least eleven characters: shorter ones (`1.2.3.4`, `10.0.1.2`) are versions and sections more often than addresses.
    """
    match = _IP.match(buffer, place)
    if not match:
        return False
    written = match.group().decode()
    if len(written) < _LEAST_ADDRESS or written.endswith(".0") or written.startswith(_OBJECTS):
        return False
    if _VERSION.search(bytes(buffer[max(0, place - 12) : place])):
        return False
    try:
        address = ipaddress.IPv4Address(written)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


def _random(kind: str, token: bytes) -> bool:
    """Whether a token looks drawn, and not like a placeholder or a name."""
    if kind in ("private_key", "jwt"):
        return True
    if kind == "aws_key":
        return not token.endswith(b"EXAMPLE") and len(set(token)) >= _LEAST_DIFFERENT
    body = token[4:]
    return any(0x30 <= byte <= 0x39 for byte in body) and len(set(body)) >= _LEAST_DIFFERENT


def _placeholder(user: bytes, password: bytes) -> bool:
    lower = password.lower()
    return lower in _PLACEHOLDERS or password == user or len(set(password)) == 1 or password[:1] in b"${<[%("


def _mailbox(before: bytes) -> bool:
    """Whether text ends with the local part of an address, 1 to 64 characters."""
    rest = before.rstrip(_LOCAL)
    name = before[len(rest) :]
    if rest.endswith(b"\\"):
        name = name[5 if name[:1] == b"u" else 1 :]
    return 0 < len(name) <= 64 and name != b"git" and not name.startswith(b".") and not name.endswith(b".")


def _known_domain(domain: re.Match[bytes]) -> bool:
    top = domain.group(1).lower()
    if not (top in _TOP_LEVEL or (len(top) == 2 and top not in _NO_COUNTRY)):
        return False
    return not domain.group().lower().endswith(_RESERVED)


def _brand(digits: str) -> bool:
    length, first = len(digits), int(digits[:4])
    if digits[0] == "4":
        return length in (16, 19)
    if 5100 <= first <= 5599 or 2221 <= first <= 2720:
        return length == 16
    if first // 100 in (34, 37):
        return length == 15
    if first == 6011 or 6440 <= first <= 6599 or 3528 <= first <= 3589:
        return length == 16
    return length == 14 and (3000 <= first <= 3059 or first // 100 in (36, 38, 39))


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2:
            value = value * 2 - 9 * (value > 4)
        total += value
    return total % 10 == 0
