"""Two threads that parse at once: one of them failed on Python 3.11."""

import subprocess
import sys

import pytest

PARSING = """
import ast, gc, sys, threading
{first}
source, failures = "(" * 60 + "1" + ",)" * 60, []

class Garbage:
    def __del__(self):
        for _ in range(50):
            pass

def work():
    for _ in range(3000):
        garbage = Garbage()
        garbage.itself = garbage
        try:
            ast.parse(source)
        except SystemError as error:
            failures.append(str(error))

sys.setswitchinterval(1e-6)
gc.set_threshold(50)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(failures), *failures[:1])
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 counts for each thread")
def test_without_waiting_the_parser_fails() -> None:
    assert "recursion depth mismatch" in parse_in_two_threads()


def test_a_process_with_settings_parses_in_many_threads() -> None:
    assert parse_in_two_threads("import conf") == "0"


def test_each_kind_of_source_is_parsed_as_before() -> None:
    code = "import ast, conf, inspect; print(ast.parse('1', mode='eval').body.value, inspect.signature(dict.fromkeys))"
    assert run(code) == "1 (iterable, value=None, /)"


def parse_in_two_threads(first: str = "") -> str:
    return run(PARSING.format(first=first))


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
