"""YouTube as yt-dlp's extractor meets it, on loopback: pages, player responses by client, a player with challenges.

The messages have the form that YouTube gives them, as yt-dlp's own source and bug reports show it; the files are given
to those alone who have solved the challenges of their addresses.
"""

import json
import re
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VIDEO_ID = "dQw4w9WgXcQ"
HOSTS = ("*.youtube.com", "*.googlevideo.com", "youtu.be")
PLAYER_PATH = "/s/player/0123abcd/player_ias.vflset/en_US/base.js"
FILES = "https://rr1---sn-loopback.googlevideo.com/videoplayback"
SIGNATURE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
N = "k3Vz_Q9x-abcDEF"

# Built as YouTube's are: one function around everything, of which the solver finds the one that sets "alr" to "yes".
PLAYER = """
var _yt_player={};(function(g){
var window=this;
var config={signatureTimestamp:20412};
/*EXTRA*/
class Address {
  constructor(text) { this.text = text; this.query = {}; }
  get(name) { return this.query[name]; }
  set(name, value) { this.query[name] = value; }
  clone() { return this; }
  unlock() { if (this.query.n) this.query.n = this.query.n.split("").reverse().join("") + "_solved"; }
}
var make = function(text, name, value) {
  var address = new Address(text);
  address.set("alr", "yes");
  value && address.set(name, encodeURIComponent(decodeURIComponent(value).split("").reverse().slice(2).join("")));
  return address;
};
g.make = make;
})(_yt_player);
"""

EMBEDDED = b'<script>ytcfg.set({"INNERTUBE_CONTEXT": {"client": {"clientName": "WEB_EMBEDDED_PLAYER"}}});</script>'


def solved_n(challenge: str) -> str:
    """Return what the player above makes of a challenge, by other means."""
    return challenge[::-1] + "_solved"


def solved_signature(scrambled: str) -> str:
    """Return what the player above makes of a signature, by other means."""
    return scrambled[::-1][2:]


def unplayable(status: str, reason: str, subreason: str = "", **more: Any) -> dict[str, Any]:
    """Return a player response that refuses the video."""
    screen = {"reason": {"simpleText": reason}, "subreason": {"simpleText": subreason}}
    error = {"errorScreen": {"playerErrorMessageRenderer": screen}} if subreason else {}
    return {"playabilityStatus": {"status": status, "reason": reason, **error}, **more}


@dataclass
class Video:
    """What the site has of one video."""

    responses: dict[str, dict[str, Any]] = field(default_factory=dict)  # by client; `*` for the others
    page: str = ""  # words on the watch page
    page_status: int = 200
    api_status: int = 200
    title: str = "Bottles & bowls"


@dataclass(frozen=True)
class Form:
    """One format and its file."""

    itag: int
    mime: str
    file: Path
    width: int | None = None
    height: int | None = None


def playable(forms: list[Form], *, locked: bool, video_id: str = VIDEO_ID, **details: Any) -> dict[str, Any]:
    """Return a player response with these formats; `locked` ones need both challenges solved."""
    listed = [_format(form, video_id, locked=locked) for form in forms]
    with_both = [each for each, form in zip(listed, forms, strict=True) if ", " in form.mime]
    return {
        "playabilityStatus": {"status": "OK"},
        "videoDetails": {"videoId": video_id, "title": "Bottles & bowls", "lengthSeconds": "1", **details},
        "streamingData": {
            "formats": with_both,
            "adaptiveFormats": [each for each in listed if each not in with_both],
        },
    }


def _format(form: Form, video_id: str, *, locked: bool) -> dict[str, Any]:
    address = f"{FILES}?" + urlencode({"itag": form.itag, "of": video_id} | ({"n": N} if locked else {}))
    cipher = urlencode({"s": SIGNATURE, "sp": "sig", "url": address})
    picture = {"width": form.width, "height": form.height, "qualityLabel": f"{form.height}p"} if form.height else {}
    return (
        {
            "itag": form.itag,
            "mimeType": form.mime,
            "bitrate": form.itag * 1000,
            "contentLength": str(form.file.stat().st_size),
            "approxDurationMs": "1000",
            "quality": "hd720" if (form.height or 0) >= 720 else "medium",
        }
        | picture
        | ({"signatureCipher": cipher} if locked else {"url": address})
    )


class YouTubeSite:
    """Answers for every host of YouTube's on one port of 127.0.0.1, with a certificate that `authority` vouches for."""

    def __init__(self, folder: Path) -> None:
        self.videos: dict[str, Video] = {}
        self.files: dict[int | str, Path] = {}  # by itag, of any video, or by the id of one
        self.player = PLAYER
        self.clients: list[str] = []  # that asked for a player response, in order
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []  # host, path and headers
        self.authority = folder / "authority.pem"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_make_certificates(folder, self.authority))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def page(self, video_id: str) -> str:
        """Return a video's watch page."""
        video = self.videos[video_id]
        config = {"PLAYER_JS_URL": PLAYER_PATH, "INNERTUBE_API_KEY": "key", "VISITOR_DATA": "visitor"}
        data = {"contents": {"words": video.page}}
        return (
            f"<!DOCTYPE html><title>{video.title}</title><script>ytcfg.set({json.dumps(config)});</script>"
            f"<script>var ytInitialPlayerResponse = {json.dumps(self._response(video_id, 'WEB'))};</script>"
            f"<script>var ytInitialData = {json.dumps(data)};</script><p>{video.page}</p>"
        )

    def response(self, video_id: str, client: str) -> dict[str, Any]:
        """Return the player response of a client, and remember that it asked."""
        self.clients.append(client)
        return self._response(video_id, client)

    def _response(self, video_id: str, client: str) -> dict[str, Any]:
        responses = self.videos[video_id].responses
        given = responses.get(client) or responses["*"]
        return {"videoDetails": {"videoId": video_id, "title": self.videos[video_id].title}} | given


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, site: YouTubeSite, *args: Any) -> None:
        self.site = site
        super().__init__(*args)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own names
        """Say nothing: what was asked is kept, not printed."""

    def do_GET(self) -> None:
        self._note()
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/watch" and query.get("v") in self.site.videos:
            status = self.site.videos[query["v"]].page_status
            self._send(status, "text/html", self.site.page(query["v"]).encode())
        elif parts.path == PLAYER_PATH:
            self._send(200, "text/javascript", self.site.player.encode())
        elif parts.path == "/videoplayback":
            self._send_file(query)
        elif parts.path.startswith("/embed/"):
            self._send(200, "text/html", EMBEDDED)
        else:
            self._send(404, "text/plain", b"not here")

    def do_POST(self) -> None:
        self._note()
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        video_id = asked["videoId"]
        status = self.site.videos[video_id].api_status
        client = asked["context"]["client"]["clientName"]
        body = self.site.response(video_id, client) if status == 200 else {"error": {"code": status}}
        self._send(status, "application/json", json.dumps(body).encode())

    def _note(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.site.requests.append((headers["host"], self.path, headers))

    def _send_file(self, query: dict[str, str]) -> None:
        solved = query.get("n") in (None, solved_n(N)) and query.get("sig") in (None, solved_signature(SIGNATURE))
        if not solved:
            self._send(403, "text/plain", b"challenge not solved")
            return
        files = self.site.files
        data = (files.get(query["of"]) or files[int(query["itag"])]).read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._send(200, "video/mp4", data)
            return
        start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        part = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        self._send(206, "video/mp4", data[start : end + 1], part)

    def _send(self, status: int, kind: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _make_certificates(folder: Path, authority: Path) -> Path:
    """Write the certificate of an authority, and the site's own with its key, which is returned."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("authority of a test", root_key, root_key, None)
    site = _certificate("YouTube on loopback", root_key, key, root)
    authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    chain = folder / "site.pem"
    chain.write_bytes(
        site.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain


def _certificate(
    name: str, signer: ec.EllipticCurvePrivateKey, owner: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(owner.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .sign(signer, hashes.SHA256())
    )
