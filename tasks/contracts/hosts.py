"""Whether an address is one of this machine's own.

In: a host, as addresses have it. Out: yes or no. Asks no name server.
"""

import ipaddress


def is_loopback(host: str) -> bool:
    """Say whether nobody but this machine can reach a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
