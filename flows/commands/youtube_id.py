"""`reelsift id`: the YouTube id behind an id of YouTube-8M."""

from typing import Annotated

import typer

from flows.commands.console import print_json, say
from flows.commands.options import AsJson, MirrorName
from flows.commands.session import Session


def youtube_id(
    context: typer.Context,
    video_id: Annotated[str, typer.Argument(metavar="ID", help="Four letters or digits, like ZU9H.")],
    mirror: MirrorName = None,
    as_json: AsJson = False,
) -> None:
    """Print the YouTube id and the address of a video of YouTube-8M; a withdrawn one is said to be."""
    from tasks.video.youtube_id import resolve_yt8m_id

    session: Session = context.obj
    found = resolve_yt8m_id(video_id, session.settings.download_from(mirror))
    address = f"https://www.youtube.com/watch?v={found}"
    if as_json:
        print_json({"yt8m_id": video_id, "youtube_id": found, "address": address})
    else:
        say(f"{found}  {address}")
