"""What somebody wants of the local stack."""

import ipaddress
import os
import socket
from typing import Literal

from pydantic import Field

from conf.guarded_server import HOSTS_VARIABLE, LOOPBACK_HOSTS, ORIGINS_VARIABLE
from conf.home import Home
from conf.stack_state import AUTH_VARIABLE, Credentials, home_credentials
from tasks.contracts.errors import AccessError
from tasks.contracts.model import FrozenModel, is_loopback

LOOPBACK = "127.0.0.1"
MIN_PASSWORD_LENGTH = 12  # what MLflow asks of its own users

LoginSource = Literal["home", "environment", "none"]


class StackOptions(FrozenModel):
    """Where the servers listen, and how many workers there are."""

    host: str = Field(default=LOOPBACK, description="address that the servers listen on")
    public_name: str | None = Field(default=None, description="name or address by which browsers reach them")
    prefect_port: int = Field(default=4200, ge=1, le=65535)
    mlflow_port: int = Field(default=5000, ge=1, le=65535)
    cpu_runs: int = Field(default=4, ge=1, le=1000, description="runs that the worker of the pool `cpu` has at once")
    gpu_workers: int | None = Field(default=None, ge=1, le=1000, description="None: one for each GPU, at least one")
    login: LoginSource = Field(default="home", description="where the password of the servers comes from")
    keep_foreign: bool = Field(default=False, description="run deployments that reelsift did not make, too")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the servers."""
        return is_loopback(self.host)

    @property
    def client_host(self) -> str:
        """The address by which processes of this machine reach the servers."""
        return LOOPBACK if _is_wildcard(self.host) else self.host

    @property
    def browser_host(self) -> str:
        """The name by which browsers reach the servers."""
        if self.public_name:
            return self.public_name
        return socket.gethostname() if _is_wildcard(self.host) else self.host

    def url(self, port: int) -> str:
        """Return the address of a server for processes of this machine."""
        return f"http://{_in_url(self.client_host)}:{port}"

    def browser_url(self, port: int) -> str:
        """Return the address of a server for browsers."""
        return f"http://{_in_url(self.browser_host)}:{port}"

    def origins(self, port: int) -> list[str]:
        """Return the addresses from which a server's own pages may talk to it."""
        own = [self.browser_url(port), self.url(port)]
        return list(dict.fromkeys([*own, f"http://localhost:{port}"] if self.is_local else own))

    def guarded(self, port: int) -> dict[str, str]:
        """Return what the guard before a server reads: the names that it may be called by, and its own origins."""
        names = [*LOOPBACK_HOSTS, _in_url(self.client_host), _in_url(self.browser_host)]
        return {
            HOSTS_VARIABLE: ",".join(dict.fromkeys(names)),
            ORIGINS_VARIABLE: ",".join(self.origins(port)),
        }


def login_source(host: str, *, no_password: bool) -> LoginSource:
    """Say where the password is to come from: the environment, else the home, unless none is wanted.

    Raises:
        AccessError: none is wanted, and others could reach the servers.
    """
    if not no_password:
        return "environment" if os.environ.get(AUTH_VARIABLE) else "home"
    if not is_loopback(host):
        raise AccessError(f"Others could reach {host}: leave out --no-password, or leave --host at {LOOPBACK}.")
    return "none"


def credentials_for(options: StackOptions, home: Home, *, create: bool = False) -> Credentials | None:
    """Return the stack's one user: of the environment, or of the home; None where no password is wanted.

    Raises:
        AccessError: there is no password where there should be one, or what there is will not do.
    """
    if options.login == "none":
        return None
    if options.login == "home":
        return home_credentials(home, create=create)
    given = os.environ.get(AUTH_VARIABLE, "")
    user, _, password = given.partition(":")
    if user and len(password) >= MIN_PASSWORD_LENGTH:
        return Credentials(user, password)
    if given:
        raise AccessError(
            f"{AUTH_VARIABLE} must be USER:PASSWORD with {MIN_PASSWORD_LENGTH} characters or more after the colon "
            f"(MLflow asks for as many); it has {len(password)}."
        )
    raise AccessError(f"The stack was started with a password from {AUTH_VARIABLE}: set it to the same USER:PASSWORD.")


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _in_url(host: str) -> str:
    """Write an address as URLs do: that of version 6 in brackets."""
    return f"[{host}]" if ":" in host else host
