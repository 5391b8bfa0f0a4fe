"""Text from strangers, made fit to be shown; HTML is escaped by the templates, not here.

In: titles, sources, addresses, sizes. Out: text without control characters, links that are only http or https. Does
not know which page shows them.
"""

import unicodedata
from urllib.parse import quote, urlsplit

LONGEST = 300  # characters of a title or a source
LINKED_SCHEMES = {"http", "https"}
# Control characters, surrogates, private use and format characters, which turn the direction of all that follows.
UNSEEN = {"Cc", "Cs", "Co", "Cf"}
JOINERS = {"\u200d", "\u200c"}  # format characters that words and emoji need
UNITS = ("B", "kB", "MB", "GB", "TB")


def shown(text: str) -> str:
    """Return the text on one line, without what cannot be seen, and not longer than `LONGEST` characters."""
    seen = (" " if each.isspace() else each for each in text if each in JOINERS or each.isspace() or _is_seen(each))
    line = " ".join("".join(seen).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def link(address: str | None) -> str | None:
    """Return the address where it is one of the web, and None where it is anything else, e.g. `javascript:`."""
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return None
    return address if parts.scheme.lower() in LINKED_SCHEMES and parts.hostname else None


def beside(name: str) -> str:
    """Return the relative address of a file beside the page; its name never becomes a scheme, a query or a mark."""
    return quote(name, safe="/")


def size(size_bytes: float) -> str:
    """Return e.g. "12.3 kB"."""
    amount, unit = float(size_bytes), 0
    while amount >= 999.5 and unit < len(UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.0f} B" if unit == 0 else f"{amount:.1f} {UNITS[unit]}"


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in UNSEEN
