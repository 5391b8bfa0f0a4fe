"""Values → one HTML page that needs no network and lets none be used.

In: the name of a template and its values. Out: the page as text. Does not know what the page is about.

Style and script stand in the page, and its Content-Security-Policy names their digests, so nothing else runs, is
fetched or is sent, whatever the texts in it try. `file:` is named beside 'self' since browsers differ in whether a
page that was opened from the disk is of the same origin as the files beside it.
"""

import hashlib
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.reports.video_text import beside, link, shown, size
from tasks.reports.video_time import moment

TEMPLATES = Path(__file__).with_name("templates")
STYLE_NAME, SCRIPT_NAME = "report.css", "report.js"
# Places and colours of bars are attributes of style; they are numbers and checked colours, and run nothing.
POLICY = (
    "default-src 'none'; img-src 'self' file:; media-src 'self' file:; style-src-elem {style}; "
    "style-src-attr 'unsafe-inline'; script-src {script}; base-uri 'none'; form-action 'none'"
)


def render(template: str, **values: Any) -> str:  # noqa: ANN401 - each template has its own values
    """Return a page; every value is escaped, and one that the template has and nobody gave is an error."""
    style, script = (_source(name) for name in (STYLE_NAME, SCRIPT_NAME))
    policy = POLICY.format(style=_digest(style), script=_digest(script))
    return _templates().get_template(template).render(style=style, script=script, policy=policy, **values)


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= {"shown": shown, "beside": beside, "link": link, "size": size, "moment": moment}
    return templates


@cache
def _source(name: str) -> Markup:
    """Return a file of ours as it stands; it holds no "</", which would end its element."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - ours, not a stranger's


def _digest(source: Markup) -> str:
    """Return what a policy calls a piece of style or script: https://www.w3.org/TR/CSP3/#external-hash."""
    return f"'sha256-{b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
