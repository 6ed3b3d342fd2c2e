"""JSON and JSON Lines that are broken, deep, long, twice-keyed, or written in another encoding."""

from __future__ import annotations

import json

from tests.unit.data.hostile.case import CHAT, GOOD, Case, line, turns

_DEEP = b'{"a":' * 2000 + b"1" + b"}" * 2000
_ARRAY = b"[" + GOOD.encode()


def _nested(levels: int) -> bytes:
    return b'{"text":"x","more":' + b"[" * levels + b"]" * levels + b"}\n"


LINES = [
    Case("empty", "x.jsonl", b"", error="DATA_FILE_EMPTY"),
    Case("only newlines", "x.jsonl", b"\n\r\n \n", error="DATA_FILE_EMPTY"),
    Case("only a byte order mark", "x.jsonl", b"\xef\xbb\xbf", error="DATA_FILE_EMPTY", notes=("DATA_BOM",)),
    Case("byte order mark", "x.jsonl", b"\xef\xbb\xbf" + CHAT * 2, kept=2, notes=("DATA_BOM",)),
    Case(
        "byte order mark in the middle",
        "x.jsonl",
        CHAT + b"\xef\xbb\xbf" + CHAT,
        kept=1,
        dropped={"DATA_LINE_NOT_JSON": 1},
    ),
    Case("CRLF", "x.jsonl", CHAT.replace(b"\n", b"\r\n") * 3, kept=3),
    Case("lone CR", "x.jsonl", CHAT.replace(b"\n", b"\r") * 3, kept=3),
    Case("no last newline", "x.jsonl", (CHAT * 3).rstrip(), kept=3),
    Case("torn last line", "x.jsonl", CHAT * 3 + CHAT[:50], kept=3, dropped={"DATA_LINE_NOT_JSON": 1}),
    Case(
        "garbage between",
        "x.jsonl",
        CHAT + b"oops\n" + CHAT + b"}{\n" + CHAT,
        kept=3,
        dropped={"DATA_LINE_NOT_JSON": 2},
    ),
    Case("two rows on a line", "x.jsonl", CHAT.rstrip() + CHAT, dropped={"DATA_LINE_NOT_JSON": 1}),
    Case("single quotes", "x.jsonl", b"{'text': 'x'}\n", dropped={"DATA_LINE_NOT_JSON": 1}),
    Case("trailing comma", "x.jsonl", b'{"text":"x",}\n' + CHAT, kept=1, dropped={"DATA_LINE_NOT_JSON": 1}),
    Case("control character in a string", "x.jsonl", b'{"text":"a\tb"}\n', dropped={"DATA_LINE_NOT_JSON": 1}),
    Case("NUL byte", "x.jsonl", CHAT + b'{"text":"a\x00b"}\n', kept=1, dropped={"DATA_NUL_BYTES": 1}),
    Case("zeros after a power cut", "x.jsonl", CHAT + b"\x00" * 4096, kept=1, dropped={"DATA_NUL_BYTES": 1}),
    Case("escaped NUL is text", "x.jsonl", line(text="a\x00b"), kept=1),
    Case("not UTF-8", "x.jsonl", CHAT + '{"text":"ä"}\n'.encode("latin-1"), kept=1, dropped={"DATA_NOT_UTF8": 1}),
    Case("overlong UTF-8", "x.jsonl", b'{"text":"\xc0\xaf"}\n' + CHAT, kept=1, dropped={"DATA_NOT_UTF8": 1}),
    Case("surrogate as UTF-8", "x.jsonl", b'{"text":"\xed\xa0\x80"}\n', dropped={"DATA_NOT_UTF8": 1}),
    Case("UTF-16 with mark", "x.jsonl", GOOD.encode("utf-16"), error="DATA_NOT_UTF8"),
    Case("UTF-16 without mark", "x.jsonl", GOOD.encode("utf-16-le"), error="DATA_NOT_UTF8"),
    Case("UTF-32", "x.json", GOOD.encode("utf-32"), error="DATA_NOT_UTF8"),
    Case("lone surrogate", "x.jsonl", CHAT + b'{"text":"\\ud83d"}\n', kept=1, dropped={"DATA_LONE_SURROGATE": 1}),
    Case("lone surrogate as key", "x.jsonl", b'{"\\ud800":"x"}\n', dropped={"DATA_FORMAT_NONE": 1}),
    Case("NaN", "x.jsonl", b'{"text":NaN}\n{"text":-Infinity}\n', dropped={"DATA_CELL_NULL": 1, "DATA_NOT_TEXT": 1}),
    Case("30 digits stay exact", "x.jsonl", b'{"text":"x","id":' + b"9" * 30 + b"}\n", kept=1),
    Case(
        "5,000 digits", "x.jsonl", CHAT + b'{"a":' + b"9" * 5000 + b"}\n", kept=1, dropped={"DATA_NUMBER_TOO_LONG": 1}
    ),
    Case("exponent out of range", "x.jsonl", b'{"text":"x","n":1e999}\n', kept=1),
    Case("64 levels", "x.jsonl", _nested(63), kept=1),
    Case("65 levels", "x.jsonl", _nested(64) + CHAT, kept=1, dropped={"DATA_TOO_DEEP": 1}),
    Case("2,000 levels", "x.jsonl", _DEEP + b"\n" + CHAT, kept=1, dropped={"DATA_TOO_DEEP": 1}),
    Case(
        "a million brackets", "x.jsonl", lambda _: b"[" * 1_000_000 + b"\n" + CHAT, kept=1, dropped={"DATA_TOO_DEEP": 1}
    ),
    Case(
        "2,000 levels in an array",
        "x.json",
        b"[" + GOOD.encode() + b"," + _DEEP + b"]",
        kept=1,
        dropped={"DATA_TOO_DEEP": 1},
    ),
    Case("2,000 levels in an object", "x.json", _DEEP, dropped={"DATA_TOO_DEEP": 1}),
    Case("key twice", "x.jsonl", b'{"text":"a","text":"b"}\n' + CHAT, kept=1, dropped={"DATA_DUPLICATE_KEY": 1}),
    Case("key twice, escaped", "x.jsonl", b'{"text":"a","t\\u0065xt":"b"}\n', dropped={"DATA_DUPLICATE_KEY": 1}),
    Case(
        "key twice, deep inside",
        "x.jsonl",
        GOOD.replace('"hello"', '"a","content" : "b"').encode(),
        dropped={"DATA_DUPLICATE_KEY": 1},
    ),
    Case(
        "key twice in an array",
        "x.json",
        _ARRAY + b',{"a":1,"a":2},' + GOOD.encode() + b"]",
        kept=2,
        dropped={"DATA_DUPLICATE_KEY": 1},
    ),
    Case(
        "40 MB line",
        "x.jsonl",
        lambda _: CHAT + b'{"text":"' + b"x" * 40_000_000 + b'"}\n' + CHAT,
        kept=2,
        dropped={"DATA_LINE_TOO_LONG": 1},
    ),
    Case(
        "40 MB value in an array",
        "x.json",
        lambda _: _ARRAY + b',{"text":"' + b"x" * 40_000_000 + b'"}]',
        kept=1,
        dropped={"DATA_LINE_TOO_LONG": 1},
    ),
    Case("array not closed", "x.json", _ARRAY + b"," + GOOD.encode(), kept=2, dropped={"DATA_LINE_NOT_JSON": 1}),
    Case(
        "array with a hole", "x.json", _ARRAY + b",," + GOOD.encode() + b"]", kept=1, dropped={"DATA_LINE_NOT_JSON": 1}
    ),
    Case("something after the array", "x.json", _ARRAY + b"]\n" + CHAT, kept=1, dropped={"DATA_LINE_NOT_JSON": 1}),
    Case("array of rubbish", "x.json", b'[1, null, true, "text", [], {}]', kept=1, dropped={"DATA_FORMAT_NONE": 5}),
    Case("empty array", "x.json", b"[]", error="DATA_FILE_EMPTY"),
    Case("empty object", "x.json", b"{}", dropped={"DATA_FORMAT_NONE": 1}),
    Case("half an object", "x.json", b'{"data":[{"text":"x"}', dropped={"DATA_LINE_NOT_JSON": 1}),
    Case(
        "nested list", "x.json", json.dumps({"v": 1, "data": {"rows": [{"text": "a"}, {"text": "b"}]}}).encode(), kept=2
    ),
    Case(
        "several lists",
        "x.json",
        json.dumps({"a": [{"text": "a"}], "b": [{"text": "b"}]}).encode(),
        error="DATA_SEVERAL_LISTS",
    ),
    Case(
        "one of several lists",
        "x.json",
        json.dumps({"a": [{"text": "a"}], "b": [{"text": "b"}]}).encode(),
        "{}/x.json#b",
        kept=1,
    ),
    Case(
        "no such list",
        "x.json",
        json.dumps({"a": [{"text": "a"}]}).encode(),
        "{}/x.json#c.d",
        error="DATA_FIELD_MISSING",
    ),
    Case(
        "array in .jsonl",
        "x.jsonl",
        b"[\n" + GOOD.encode() + b",\n" + GOOD.encode() + b"\n]\n",
        error="DATA_WRONG_KIND",
    ),
    Case(
        "object over lines in .jsonl",
        "x.jsonl",
        json.dumps(json.loads(GOOD), indent=1).encode(),
        error="DATA_WRONG_KIND",
    ),
    Case("lines in .json", "x.json", CHAT * 3, kept=3),
    Case(
        "row of another shape late",
        "x.jsonl",
        CHAT * 50 + line(messages="late") + turns("q", 7),
        kept=50,
        dropped={"DATA_FORMAT_NONE": 1, "DATA_NOT_TEXT": 1},
    ),
]
