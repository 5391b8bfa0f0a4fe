"""Which addresses are public, and that nothing else is connected to."""

import socket
from typing import Any

import pytest

from tasks.video.addresses import AddressGuard, RefusedAddressError, is_public

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2002:c0a8:101::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]
PUBLIC = ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:4860:4860::8888", "2606:4700::1111", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_within_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_internet_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "::1", "0", "10.0.0.1"]
)
def test_a_host_that_resolves_to_one_within_is_refused_however_it_is_written(host: str) -> None:
    guard = AddressGuard(allow_private=False)
    with pytest.raises(RefusedAddressError, match="not on the public internet"):
        guard.connect((host, 80), timeout=5)
    assert guard.refused == host


class Names:
    """A resolver that gives the next answer each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    def __call__(self, _host: str, port: int, *_: object) -> list[tuple[Any, Any, int, str, Any]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        ]


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_the_very_address_that_was_checked_is_connected_to() -> None:
    """A name that resolves to something within a moment later gains nothing: it is asked once for each connection."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    guard = AddressGuard(allow_private=False, resolve=names, admits=lambda address: address == "127.0.0.1")
    with listening() as server:
        port = server.getsockname()[1]
        with guard.connect(("rebinding.example", port), timeout=5) as connected:
            assert connected.getpeername() == ("127.0.0.1", port)
            assert connected.gettimeout() == 5
        with pytest.raises(RefusedAddressError):
            guard.connect(("rebinding.example", port), timeout=5)


def test_of_several_addresses_only_those_that_are_public_are_tried() -> None:
    names = Names(["127.0.0.2", "10.0.0.1", "127.0.0.1"])
    guard = AddressGuard(allow_private=False, resolve=names, admits=lambda address: address == "127.0.0.1")
    with listening() as server, guard.connect(("mixed.example", server.getsockname()[1]), timeout=5) as connected:
        assert connected.getpeername()[0] == "127.0.0.1"


def test_private_addresses_are_connected_to_where_that_is_allowed() -> None:
    guard = AddressGuard(allow_private=True)
    with listening() as server, guard.connect(server.getsockname(), timeout=5) as connected:
        assert connected.getpeername()[0] == "127.0.0.1"
    assert guard.refused is None


def test_a_host_that_answers_nobody_is_an_error_of_the_system() -> None:
    with listening() as server:
        place = server.getsockname()
    with pytest.raises(ConnectionRefusedError):
        AddressGuard(allow_private=True).connect(place, timeout=5)
