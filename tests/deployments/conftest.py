"""A real Prefect server that everything was deployed to, once."""

import os
from collections.abc import Iterator, Mapping

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import get_current_settings

from deployments.register import deploy_all


@pytest.fixture(scope="package")
def server_environment(prefect_server: None) -> Mapping[str, str]:
    """What a client of the server has in its environment."""
    return {**os.environ, "PREFECT_API_URL": str(get_current_settings().api.url)}


@pytest.fixture(scope="package")
def deployed(server_environment: Mapping[str, str]) -> Iterator[SyncPrefectClient]:
    """A client of the server, with everything deployed."""
    deploy_all(server_environment, pool_limits={"gpu": 2})
    with get_client(sync_client=True) as client:
        yield client
