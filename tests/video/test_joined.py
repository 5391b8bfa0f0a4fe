"""Picture and sound of two files in one."""

from pathlib import Path

import av
import pytest

from tasks.contracts.errors import VideoError
from tasks.video.sound import join_streams
from tests.support.media import Tone, shades, write_sound, write_text, write_video


def test_nothing_is_coded_anew_and_both_are_there(tmp_path: Path) -> None:
    picture = write_video(tmp_path / "p.mp4", shades(20))
    sound = write_sound(tmp_path / "s.m4a", Tone(duration_s=2.0))
    path = join_streams([sound, picture], tmp_path / "j.mkv")
    with av.open(str(path)) as joined, av.open(str(picture)) as before:
        assert [stream.type for stream in joined.streams] == ["video", "audio"]
        packets = [bytes(packet) for packet in joined.demux(video=0) if packet.size]
        assert len(packets) == sum(1 for packet in before.demux(video=0) if packet.size) == 20
    with av.open(str(path)) as joined:
        assert len(list(joined.decode(video=0))) == 20
    with av.open(str(path)) as joined:
        assert sum(frame.samples for frame in joined.decode(audio=0)) >= 2 * 44_100
    assert sorted(each.name for each in tmp_path.iterdir()) == ["j.mkv", "p.mp4", "s.m4a"]


def test_a_file_that_is_none_leaves_nothing(tmp_path: Path) -> None:
    picture = write_video(tmp_path / "p.mp4")
    with pytest.raises(VideoError, match="is no video"):
        join_streams([picture, write_text(tmp_path / "t.mp4")], tmp_path / "j.mkv")
    assert not list(tmp_path.glob("*j.mkv*"))
