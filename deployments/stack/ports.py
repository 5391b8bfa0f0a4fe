"""Whether a port is free, and who has it where it is not.

In: an address and a port. Out: nothing, or an error that names the process. Does not listen.
"""

import errno
import socket
from contextlib import suppress

import psutil

from tasks.contracts.errors import StackError


def check_free(host: str, port: int, option: str) -> None:
    """Refuse a port on which somebody listens.

    Raises:
        StackError: it is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a server that has just ended is in the way
        try:
            trial.bind((host, port))
        except OSError as error:
            raise StackError(_refusal(error, host, port, option)) from error


def _refusal(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use{_by_whom(port)}. Stop that, or choose another: `reelsift up {option} PORT`."
    if error.errno == errno.EACCES:
        return f"Port {port} is not yours to use. Choose one above 1023: `reelsift up {option} PORT`."
    return f"Nothing can listen on {host}:{port}: {error.strerror or error}. Name an address of this machine in --host."


def _by_whom(port: int) -> str:
    """Name the process that listens, where the system tells."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("inet"):
            listens = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == port
            if listens and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""
