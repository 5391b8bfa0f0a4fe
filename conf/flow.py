"""The decorator of the flows, and what they take from Prefect: a flow called from Python keeps its history in the home.

Commands and workers set Prefect's environment before they import Prefect. A script or a notebook does not, and Prefect
would keep the runs of its flows below `~/.prefect`, on a server of its own that asks for no password.
"""

import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from conf.environment import CONFIG_VARIABLE, DATABASE_VARIABLES, apply_environment, spare_home_of_matplotlib
from conf.home import Home
from conf.prefect_server import API_VARIABLE, check_database, check_home
from conf.private_server import private_server
from conf.settings import load_settings
from conf.stack_state import join_stack
from tasks.contracts.errors import ConfigError

DRAIN_S = 30.0
_usual_homes = {Path("~/.prefect").expanduser()}  # of Prefect, where nothing names another


def _home() -> Home:
    config = os.environ.get(CONFIG_VARIABLE)
    return load_settings(Path(config) if config else None).paths


@contextmanager
def _without_usual_home() -> Iterator[None]:
    """Let Prefect be imported without creating `~/.prefect`: it creates its home, wherever that is."""
    home = None
    if "prefect" not in sys.modules and "PREFECT_HOME" not in os.environ and not any(map(Path.exists, _usual_homes)):
        with suppress(ConfigError):  # a call says what is wrong with the settings
            home = _home().prefect
    if home is None:
        yield
        return
    _usual_homes.add(home)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Failed to create the Prefect home directory")  # a call creates it
        os.environ["PREFECT_HOME"] = str(home)
        try:
            yield
        finally:
            del os.environ["PREFECT_HOME"]


with _without_usual_home():
    import prefect.context
    from prefect import Flow, tags
    from prefect.client.orchestration import get_client
    from prefect.events.worker import EventsWorker
    from prefect.exceptions import ParameterTypeError
    from prefect.logging import get_run_logger
    from prefect.logging.handlers import APILogWorker
    from prefect.runtime import deployment, flow_run
    from prefect.settings import get_current_settings
    from prefect.task_runners import ThreadPoolTaskRunner

__all__ = ["Flow", "ThreadPoolTaskRunner", "deployment", "flow", "flow_run", "get_client", "get_run_logger", "tags"]


class HomeFlow(Flow[..., Any]):
    """A flow that a script or a notebook can call: its history lies in the home, unless Prefect has another place."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - what the function takes and returns
        """Run the flow."""
        with _in_force.during_call():
            return super().__call__(*args, **kwargs)

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Check a form; what Prefect would wrap in words of its own and pydantic's is said in one line.

        Raises:
            ConfigError: something in it is refused.
        """
        try:
            return super().validate_parameters(parameters)
        except ParameterTypeError as error:
            found = re.findall(r"^ - (?:form\.)?(.*)$", str(error), flags=re.MULTILINE)
            if not found:
                raise
            raise ConfigError("; ".join(each.replace("Value error, ", "") for each in found)) from error

    def serve(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Prefect's own
        """Serve the flow's runs until the process is asked to end."""
        with _in_force.during_call():
            super().serve(*args, **kwargs)

    def with_options(self, **options: Any) -> "HomeFlow":  # noqa: ANN401 - Prefect's own
        """Return the same flow with other options."""
        made = super().with_options(**options)
        made.__class__ = HomeFlow
        assert isinstance(made, HomeFlow)
        return made


# A name that nobody typed: an adjective and an animal by Prefect's clients, a Greek letter and a planet by its pages.
GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi "
    "psi omega"
)
GIVEN_BY_PREFECT = re.compile(rf"[a-z]+-[a-z]+|(?:{GREEK.replace(' ', '|')})\d*-.+")


def flow(
    *,
    name: str,
    called: Callable[[Any], str] | None = None,
    **options: Any,  # noqa: ANN401 - Prefect's own
) -> Callable[[Callable[..., Any]], HomeFlow]:
    """Make a flow of a function, as Prefect's decorator does.

    Its runs are `called` what that returns of their form, unless a person has given a run another name.
    """

    def name_of_run() -> str:
        assert called is not None
        given = str(flow_run.name)
        return called(flow_run.parameters["form"]) if GIVEN_BY_PREFECT.fullmatch(given) else given

    names = {"flow_run_name": name_of_run} if called else {}
    return lambda function: HomeFlow(function, name=name, **names, **options)


class _HomeInForce:
    """Prefect's environment and settings while flows run that Python code called; as before once the last has ended.

    So flows of other projects in the same process, and commands that it starts later, keep their own history.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._variables: dict[str, str] = {}
        self._settings = prefect.context.GLOBAL_SETTINGS_CONTEXT

    @contextmanager
    def during_call(self) -> Iterator[None]:
        """Let Prefect know the home, and a server of the home, while the block runs.

        Raises:
            ConfigError: the settings are refused, or the home cannot be written to.
            ServerError: the server does not start.
        """
        if prefect.context.FlowRunContext.get() or not self._begin():
            yield
            return
        try:
            with prefect.context.root_settings_context():  # the caller's thread may have settings of its own
                yield
        finally:
            self._end()

    def _begin(self) -> bool:
        """Say whether the call needs the home, and see that it is in force."""
        with self._lock:
            if not self._calls:
                if _has_another_place():
                    return False
                _hand_over()
                self._variables, self._settings = dict(os.environ), prefect.context.GLOBAL_SETTINGS_CONTEXT
                try:
                    _apply(_home())
                except BaseException:
                    self._restore()
                    raise
                # Threads that Prefect starts without a context look here.
                prefect.context.GLOBAL_SETTINGS_CONTEXT = prefect.context.root_settings_context()
            self._calls += 1
            return True

    def _end(self) -> None:
        with self._lock:
            self._calls -= 1
            if not self._calls:
                _hand_over()
                self._restore()

    def _restore(self) -> None:
        prefect.context.GLOBAL_SETTINGS_CONTEXT = self._settings
        for name in [name for name in os.environ if name == "REELSIFT_HOME" or name.startswith("PREFECT_")]:
            if name in self._variables:
                os.environ[name] = self._variables[name]
            else:
                del os.environ[name]


_in_force = _HomeInForce()


def _hand_over() -> None:
    """Let Prefect send what it has to send where it was meant to go: the next to send has another server."""

    def drain() -> None:
        for worker in (APILogWorker, EventsWorker):
            worker.drain_all(timeout=DRAIN_S)

    thread = threading.Thread(target=drain, name="drain")  # in a notebook's own, which has a loop, it would not wait
    thread.start()
    thread.join()


def _has_another_place() -> bool:
    """Say whether a server, a database or a home is named for Prefect other than by the environment, which is kept."""
    settings = get_current_settings()
    has_database = "connection_url" in settings.server.database.model_fields_set
    return (
        settings.api.url is not None
        or (has_database and not any(name in os.environ for name in DATABASE_VARIABLES))
        or ("PREFECT_HOME" not in os.environ and settings.home not in _usual_homes)
    )


def _apply(home: Home) -> None:
    check_home(home)
    check_database()
    os.environ["REELSIFT_HOME"] = str(home.root)
    if not os.environ.get(API_VARIABLE):
        join_stack(home)
    apply_environment(home)
    spare_home_of_matplotlib(home)
    if not os.environ.get(API_VARIABLE):
        server = private_server(home)
        os.environ.update(server.variables)
        server.wait()
