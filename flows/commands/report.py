"""`reelsift report`: the page of a video's folder, written anew."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import print_json, say
from flows.commands.options import AsJson


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of one video, or one with a folder for each video.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write the page that shows what was found; it opens in any browser, with no network."""
    from tasks.contracts.labels import LABELS_NAME
    from tasks.contracts.objects import OBJECTS_NAME
    from tasks.reports.video_report import write_index, write_report

    is_one = any((folder / name).is_file() for name in (LABELS_NAME, OBJECTS_NAME))
    page = (write_report if is_one else write_index)(folder)
    if as_json:
        print_json({"report": str(page)})
    else:
        say(str(page))
