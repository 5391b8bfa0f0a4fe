"""Scripts of strangers, run by the real deno: whatever they try beyond computing is refused or bounded."""

import json
import os
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path

import psutil
import pytest

from tasks.video.javascript import ScriptError, deno_path, run_script
from tests.support.mirror_server import MirrorServer

LONGEST_S = 1.5


@pytest.fixture
def served(tmp_path: Path) -> MirrorServer:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "x.js").write_text("console.log('fetched');")
    return MirrorServer(tmp_path / "site")


def test_a_script_answers() -> None:
    assert json.loads(run_script("console.log(JSON.stringify([1 + 1, 'ü', typeof Deno]))")) == [2, "ü", "object"]


def test_a_long_script_is_read_by_a_slow_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A player has millions of characters, of which a pipe holds 65,536; the watch looks many times meanwhile."""
    monkeypatch.setattr("tasks.video.javascript.POLL_S", 0.001)
    text = "x" * 5_000_000
    assert run_script(f"console.log('{text}'.length)") == f"{len(text)}\n"


def test_the_runtime_is_the_one_of_this_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another deno on the PATH is never run, and the scripts that yt-dlp takes are those of its own version."""
    canary = tmp_path / "canary"
    (tmp_path / "deno").write_text(f"#!/bin/sh\ntouch {canary}\n")
    (tmp_path / "deno").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert run_script("console.log(1)") == "1\n"
    assert not canary.exists()
    assert deno_path() == Path(sys.executable).parent / "deno"
    wanted = [each for each in distribution("yt-dlp").requires or () if each.startswith("yt-dlp-ejs")]
    assert wanted[0].startswith(f"yt-dlp-ejs=={version('yt-dlp-ejs')}")


def attempt(code: str) -> str:
    """Return a script that tries something, waits for what comes of it, and prints that."""
    return f"""
    (async () => {{ {code} }})()
        .then((got) => console.log("GOT " + got), (error) => {{ console.log("REFUSED " + error); }});
    """


# Everything that deno, and Node's modules in it, offer to get out of the process.
ATTEMPTS = {
    "read": "return await Deno.readTextFile('SECRET')",
    "read-url": "return await (await fetch('file://SECRET')).text()",
    "read-node": "return process.getBuiltinModule('node:fs').readFileSync('SECRET', 'utf8')",
    "read-module": "return (await import('file://SECRET', {with: {type: 'text'}})).default",
    "read-json": "return JSON.stringify((await import('file://SECRET', {with: {type: 'json'}})).default)",
    "read-in-module": (
        "const m = `import x from 'file://SECRET' with {type: 'json'}; export default x`;"
        "return JSON.stringify((await import('data:text/javascript,' + encodeURIComponent(m))).default)"
    ),
    "read-require": (
        "const {createRequire} = process.getBuiltinModule('node:module');"
        "return JSON.stringify(createRequire('file:///')('SECRET'))"
    ),
    "read-sqlite": "const s = process.getBuiltinModule('node:sqlite'); return new s.DatabaseSync('SECRET')",
    "list": "return [...Deno.readDirSync('/')].length",
    "stat": "return Deno.statSync('SECRET').size",
    "write": "await Deno.writeTextFile('CANARY', 'x')",
    "write-node": "process.getBuiltinModule('node:fs').writeFileSync('CANARY', 'x')",
    "link": "Deno.symlinkSync('SECRET', 'CANARY')",
    "fetch": "return await (await fetch('SITE/x.js')).text()",
    "connect": "return await Deno.connect({hostname: '127.0.0.1', port: PORT})",
    "connect-node": (
        "const net = process.getBuiltinModule('node:net');"
        "return await new Promise((yes, no) => net.connect(PORT, '127.0.0.1').on('connect', yes).on('error', no))"
    ),
    "websocket": "return await new Promise((yes, no) => { const s = new WebSocket('ws://127.0.0.1:PORT');"
    " s.onopen = yes; s.onerror = (e) => no(e.message); })",
    "module": "return await import('SITE/x.js')",
    "npm": "return await import('npm:left-pad')",
    "name": "return await Deno.resolveDns('localhost', 'A')",
    "listen": "return Deno.listen({port: 0})",
    "program": "return new Deno.Command('/bin/sh', {args: ['-c', 'touch CANARY']}).outputSync()",
    "program-node": "return process.getBuiltinModule('node:child_process').execSync('touch CANARY')",
    "signal": "Deno.kill(Deno.ppid, 'SIGTERM')",
    "environment": "return JSON.stringify(Deno.env.toObject())",
    "environment-node": "return Object.keys(process.env).join()",
    "library": "return Deno.dlopen('libc.so.6', {})",
    "machine": "return Deno.hostname()",
    "asking": "const s = await Deno.permissions.request({name: 'read'}); if (s.state != 'granted') throw s.state",
}


@pytest.mark.parametrize("name", ATTEMPTS, ids=list(ATTEMPTS))
def test_nothing_is_reached(name: str, served: MirrorServer, tmp_path: Path) -> None:
    secret, canary = tmp_path / "secret.json", tmp_path / "canary"
    secret.write_text('{"secret": 1}')
    with served as site:
        code = ATTEMPTS[name].replace("SITE", site.url).replace("PORT", site.url.rpartition(":")[2])
        said = run_script(attempt(code.replace("SECRET", str(secret)).replace("CANARY", str(canary))))
        assert not site.log
        assert not site.connections
    assert said.startswith("REFUSED ")
    assert 'secret": 1' not in said
    assert not canary.exists()


@pytest.mark.parametrize(
    "script",
    ["import x from 'file:///etc/passwd' with {type: 'text'}; console.log(x)", "export default 1"],
    ids=["import", "export"],
)
def test_a_script_is_no_module(script: str) -> None:
    """deno asks for no permission where the text that it starts with imports files by name."""
    with pytest.raises(ScriptError, match=r"outside a module|Unexpected token"):
        run_script(script)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param("for (;;);", "ran for more than 1.5 s", id="busy"),
        pytest.param("setTimeout(() => 0, 1e9)", "ran for more than 1.5 s", id="asleep"),
        pytest.param("for (;;) console.log('x'.repeat(65536))", "printed more than 1 MiB", id="printing"),
        pytest.param("for (;;) console.error('x'.repeat(65536))", "printed more than 1 MiB", id="complaining"),
        pytest.param("throw new Error('no')", "Error: no", id="failing"),
        pytest.param("Deno.exit(7)", "ended with 7", id="ending"),
    ],
)
def test_time_and_output_are_bounded(script: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.video.javascript.LONGEST_S", LONGEST_S)
    monkeypatch.setattr("tasks.video.javascript.LARGEST_OUTPUT_BYTES", 1 << 20)
    before = set(psutil.Process().children())
    with pytest.raises(ScriptError, match=message):
        run_script(script)
    assert set(psutil.Process().children()) == before


HUNGRY = {
    "buffers": "const a = []; for (;;) a.push(new Uint8Array(64 << 20).fill(1))",
    "shared": "const a = []; for (;;) a.push(new Uint8Array(new SharedArrayBuffer(64 << 20)).fill(1))",
    "objects": "const a = []; for (;;) a.push({x: [1, 2, 3], y: 'q'.repeat(100)})",
    "text": "let s = 'x'; const a = []; for (;;) { s += s.slice(0, 1 << 20); a.push([...s]) }",
    "web-assembly": "const a = []; for (;;) { const m = new WebAssembly.Memory({initial: 1000});"
    " new Uint8Array(m.buffer).fill(1); a.push(m) }",
    "workers": "const u = URL.createObjectURL(new Blob(['for (;;);'])); for (;;) new Worker(u, {type: 'module'})",
}


@pytest.mark.parametrize(
    ("name", "has_limits"),
    [*((name, True) for name in HUNGRY), ("buffers", False), ("objects", False), ("web-assembly", False)],
)
def test_memory_is_bounded(name: str, has_limits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel, and where that cannot bound another process, by a watch."""
    bound_bytes = 300 << 20
    monkeypatch.setattr("tasks.video.javascript.LARGEST_MEMORY_BYTES", bound_bytes)
    monkeypatch.setattr("tasks.video.javascript.LONGEST_S", 20.0)
    if not has_limits:
        monkeypatch.setattr("tasks.video.javascript._bound", lambda _: None)
    most = Peak()
    monkeypatch.setattr("tasks.video.javascript._memory_bytes", most.measure)
    with pytest.raises(ScriptError):
        run_script(HUNGRY[name])
    assert most.bytes < 2 * bound_bytes


class Peak:
    """The most memory that a process was seen to have."""

    def __init__(self) -> None:
        self.bytes = 0

    def measure(self, pid: int) -> int:
        try:
            found = psutil.Process(pid).memory_info().rss
        except psutil.Error:
            return 0
        self.bytes = max(self.bytes, found)
        return found


def test_ctrl_c_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    code = "from tasks.video.javascript import run_script; print('on', flush=True); run_script('for (;;);')"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        children: list[psutil.Process] = []
        while not children:
            children = [each for each in psutil.Process(process.pid).children() if each.cpu_times().user > 0.1]
        process.send_signal(2)
        process.wait(10)
    assert not [each for each in children if each.is_running()]
    assert not list(tmp_path.iterdir())
