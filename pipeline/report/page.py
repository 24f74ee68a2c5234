"""Rendering the HTML file: the views are inserted into the templates, style and scripts of this folder.

Texts from the data are escaped: by the templates in the page, and by `inline_json` in the data for scripts. A
content security policy in the page's head forbids every request.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...core.version import __version__
from .views import ReportViews

_HERE = Path(__file__).parent
# In the order in which they build on each other; one script in the page.
SCRIPTS = (
    "page.js",
    "tables.js",
    "choices.js",
    "tips.js",
    "pictures.js",
    "map_data.js",
    "map.js",
    "users.js",
)
SAMPLE = 3  # users that stand in the page itself, for readers without scripts


def render_page(views: ReportViews) -> str:
    """The page as HTML text."""
    import jinja2

    from .presentation import FILTERS, charts_of, choices_of

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    scripts = "\n".join((_HERE / "assets" / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return environment.get_template("report.html.j2").render(
        views=views,
        charts=charts_of(views),
        choices=choices_of(views),
        sample=views.users.users[:SAMPLE],
        made_by=f"tssr {__version__}",
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=(_HERE / "assets" / "report.css").read_text(encoding="utf-8"),
        script=scripts,
        data={
            "pictures": inline_json(views.pictures.pictures),
            "users": inline_json(users_record(views)),
            "map": "" if views.map is None else views.map.packed(),
        },
    )


def users_record(views: ReportViews) -> dict[str, Any]:
    """What the browser of users reads."""
    return {
        "runs": views.users.runs,
        "titles": views.titles,
        "depths": [None if run.ranks is None else run.ranks.depth for run in views.scope.runs],
        "users": [user.record() for user in views.users.users],
    }


def inline_json(value: object) -> str:
    """JSON that may stand inside a script element: no text in it can end the element or begin a comment.

    >>> print(inline_json({"title": "</script><b>&"}))
    {"title":"\\u003c/script\\u003e\\u003cb\\u003e\\u0026"}
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
