"""Tables and plain text: ragged, unclosed, twice-named, oddly separated, or binary."""

from __future__ import annotations

from tests.unit.data.hostile.case import Case

_HEAD = b"question,answer\n"

TABLES = [
    Case("NA and null are text", "x.csv", _HEAD + b"NA,null\nnan,None\nN/A,NULL\n", kept=3),
    Case("leading zeros", "x.csv", _HEAD + b"007,1e5\n", kept=1),
    Case("ragged rows", "x.csv", _HEAD + b"a,b\nc\nd,e,f\ng,h\n", kept=2, dropped={"DATA_CSV_COLUMNS": 2}),
    Case(
        "quotation mark never closed", "x.csv", _HEAD + b'a,b\n"open,c\nd,e\n', kept=1, dropped={"DATA_CSV_BROKEN": 1}
    ),
    Case("text after a quotation mark", "x.csv", _HEAD + b'"a"b,c\nd,e\n', kept=1, dropped={"DATA_CSV_BROKEN": 1}),
    Case("column named twice", "x.csv", b"a,b,a\n1,2,3\n", error="DATA_CSV_HEADER"),
    Case("no names", "x.csv", b",,\n1,2,3\n", error="DATA_CSV_HEADER"),
    Case("only a header", "x.csv", _HEAD, error="DATA_FILE_EMPTY"),
    Case("CSV with a byte order mark", "x.csv", b"\xef\xbb\xbf" + _HEAD + b"a,b\n", kept=1, notes=("DATA_BOM",)),
    Case("CSV in Latin-1", "x.csv", _HEAD + "ä,b\nc,d\n".encode("latin-1"), kept=1, dropped={"DATA_NOT_UTF8": 1}),
    Case("CSV in UTF-16", "x.csv", (_HEAD + b"a,b\n").decode().encode("utf-16"), error="DATA_NOT_UTF8"),
    Case("CSV with NUL", "x.csv", _HEAD + b"a,\x00b\nc,d\n", kept=1, dropped={"DATA_NUL_BYTES": 1}),
    Case("CSV with lone CR", "x.csv", (_HEAD + b"a,b\nc,d\n").replace(b"\n", b"\r"), kept=2),
    Case("semicolons announced", "x.csv", b"sep=;\nquestion;answer\na,1;b\n", kept=1),
    Case("formulas are text", "x.csv", _HEAD + b'"=HYPERLINK(""http://x"")",@SUM(1)\n', kept=1),
    Case(
        "40 MB cell",
        "x.csv",
        lambda _: _HEAD + b"a," + b"x" * 40_000_000 + b"\nc,d\n",
        kept=1,
        dropped={"DATA_LINE_TOO_LONG": 1},
    ),
    Case("escape sequence in a header", "x.csv", b"\x1b[2J,\x1b[2J\n1,2\n", error="DATA_CSV_HEADER"),
    Case("empty cells", "x.csv", _HEAD + b"a,\n,b\n", dropped={"DATA_ANSWER_EMPTY": 1, "DATA_TURN_EMPTY": 1}),
    Case("tabs", "x.tsv", b"question\tanswer\na, b\tc\n", kept=1),
    Case("text with broken bytes", "x.txt", b"one\n\n\xff\xfe\n\ntwo\n", kept=2, dropped={"DATA_NOT_UTF8": 1}),
    Case("text with NUL", "x.txt", b"one\n\nt\x00wo\n\nthree", kept=2, dropped={"DATA_NUL_BYTES": 1}),
    Case(
        "text of 20 MB without a blank line",
        "x.txt",
        lambda _: b"many words\n".replace(b"m", b"m" * 1000) * 20_000 + b"\nend\n",
        kept=1,
        dropped={"DATA_LINE_TOO_LONG": 1},
    ),
    Case("text of blanks only", "x.md", b" \n\t\n\n", error="DATA_FILE_EMPTY"),
]
