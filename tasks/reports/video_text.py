"""Text from strangers, made fit to be shown; HTML is escaped by the templates, not here.

In: titles, sources, addresses, sizes. Out: text without control characters, links that are only http or https. Does
not know which page shows them.
"""

from urllib.parse import quote, urlsplit

from tasks.contracts.text import shown as text_shown

LONGEST = 300  # characters of a title or a source
LINKED_SCHEMES = {"http", "https"}
UNITS = ("B", "kB", "MB", "GB", "TB")


def shown(text: str) -> str:
    """Return the text on one line, inert, without secrets, and not longer than `LONGEST` characters."""
    return text_shown(text, LONGEST)


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
