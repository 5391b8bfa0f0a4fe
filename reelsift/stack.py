"""`reelsift up`, `status`, `logs` and `down`: the local stack from a terminal.

Imports what it needs when it runs.
"""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from deployments.stack.options import StackOptions, credentials_for, login_source
from reelsift.console import OUT, note, print_json, print_table, progress_shown, say
from reelsift.options import AsJson
from reelsift.session import Session
from tasks.contracts.errors import StackError
from tasks.contracts.progress import scaled

if TYPE_CHECKING:
    from conf.stack_state import RunningPart, StackState
    from deployments.stack.plan import StackPlan
    from deployments.stack.running import PartStatus

DEFAULTS = StackOptions()
LINES = 50

Host = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Listen here; other machines reach any address but a loopback one.")
]
PublicName = Annotated[
    str | None, typer.Option(metavar="NAME", help="The name by which browsers elsewhere reach this machine.")
]
PrefectPort = Annotated[int, typer.Option("--prefect-port", metavar="PORT", help="Of the Prefect server.")]
MlflowPort = Annotated[int, typer.Option("--mlflow-port", metavar="PORT", help="Of the MLflow server.")]
GpuWorkers = Annotated[
    int | None, typer.Option(metavar="N", help="Workers of the pool gpu. \\[default: one for each GPU, at least one]")
]
CpuRuns = Annotated[int, typer.Option(metavar="N", help="Runs that the pool cpu has at once.")]
NoPassword = Annotated[
    bool, typer.Option("--no-password", help="Let every account and program of this machine use the servers.")
]
KeepForeign = Annotated[
    bool, typer.Option("--keep-foreign", help="Run deployments and automations that reelsift did not make, too.")
]


def up(
    context: typer.Context,
    host: Host = DEFAULTS.host,
    public_name: PublicName = None,
    prefect_port: PrefectPort = DEFAULTS.prefect_port,
    mlflow_port: MlflowPort = DEFAULTS.mlflow_port,
    gpu_workers: GpuWorkers = None,
    cpu_runs: CpuRuns = DEFAULTS.cpu_runs,
    no_password: NoPassword = False,
    keep_foreign: KeepForeign = False,
    as_json: AsJson = False,
) -> None:
    """Start Prefect, MLflow and workers, and deploy the flows; rerun to restart failed processes."""
    session: Session = context.obj
    options = _options(
        host=host,
        public_name=public_name,
        prefect_port=prefect_port,
        mlflow_port=mlflow_port,
        gpu_workers=gpu_workers,
        cpu_runs=cpu_runs,
        login=login_source(host, no_password=no_password),
        keep_foreign=keep_foreign,
    )
    plan = _plan(session, options, create_password=True)
    from deployments.stack.running import bring_up

    began_s = time.monotonic()
    with progress_shown() as progress:
        state, found = bring_up(plan, progress)
    seconds = time.monotonic() - began_s
    for line in found:
        note(line)
    if as_json:
        about = {"seconds": round(seconds, 1), "password_file": _password_file(session, options), "notes": found}
        print_json(state.model_dump(mode="json") | about)
        return
    say(f"{len(state.parts)} parts are ready after {seconds:.0f} s:")
    for part in state.parts:
        say(f"  {part.name:<10} {part.address or ''}")
    if newest := _newest_runs(session):
        say(f"MLflow's page of the newest runs: {newest}")
    for line in _login(session, plan):
        say(line)
    note("`reelsift status` looks after them, `reelsift logs NAME` shows what one says, `reelsift down` ends them.")


def _newest_runs(session: Session) -> str | None:
    """Return the address of the page of the newest model's runs; MLflow's own first page shows none of them."""
    from tasks.contracts.errors import TrackingError
    from tasks.tracking.registry import list_models

    try:
        models = list_models(session.store)
    except TrackingError:
        return None
    return session.store.runs_url(models[0].experiment_id) if models else None


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Say how each part of the local stack is; exits with 1 where one is not ready."""
    session: Session = context.obj
    state = _running(session)
    rows = part_states(session, state)
    if as_json:
        print_json({"parts": [row.model_dump(mode="json") for row in rows]})
    else:
        print_table(
            f"The stack in {session.settings.paths.root}",
            ("part", "state", "process", "since", "memory", "address"),
            (
                (
                    row.name,
                    row.state,
                    str(row.pid),
                    f"{row.since.astimezone():%Y-%m-%d %H:%M:%S}",
                    scaled(row.memory_bytes, "B"),
                    row.address or "",
                )
                for row in rows
            ),
        )
        if where := _password_file(session, StackOptions.model_validate(state.options)):
            note(f"Their password is in {where}.")
    if any(row.state != "ready" for row in rows):
        note("`reelsift up` starts what is dead; `reelsift logs NAME` shows what a part said last.")
        raise typer.Exit(1)


def part_states(session: Session, state: "StackState") -> "list[PartStatus]":
    """Ask each part of a stack that runs how it is."""
    from deployments.stack.running import stack_status

    return stack_status(_plan(session, StackOptions.model_validate(state.options)), state)


def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `reelsift status` has it, e.g. gpu-0.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, metavar="N", help="How many of the last.")] = LINES,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it says more, until Ctrl-C.")] = False,
) -> None:
    """Print what a part of the local stack says."""
    session: Session = context.obj
    state = _running(session)
    part = _part(state, name)
    from deployments.stack.processes import following, last_lines

    for line in last_lines(part.log, lines):
        say(line)
    if follow:
        for text in following(part.log, lambda: part.is_alive):
            OUT.file.write(text)
            OUT.file.flush()


def down(context: typer.Context, as_json: AsJson = False) -> None:
    """End every process of the local stack; runs that are under way end as crashed, and can be retried."""
    session: Session = context.obj
    from deployments.stack.running import take_down

    began_s = time.monotonic()
    downed = take_down(session.settings.paths)
    seconds = time.monotonic() - began_s
    if as_json:
        print_json({"parts": downed.parts, "processes": downed.processes, "killed": downed.killed, "seconds": seconds})
        return
    if not downed.processes:
        say(f"No stack runs in {session.settings.paths.root}.")
        return
    killed = f", {downed.killed} of them killed (SIGKILL)" if downed.killed else ""
    say(f"{len(downed.parts)} parts are down after {seconds:.0f} s: {downed.processes} processes ended{killed}.")


def _options(**values: Any) -> StackOptions:  # noqa: ANN401 - options of any kind
    try:
        return StackOptions(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise typer.BadParameter(f"--{option}: {first['msg']}, got {first['input']!r}") from error


def _plan(session: Session, options: StackOptions, *, create_password: bool = False) -> "StackPlan":
    credentials = credentials_for(options, session.settings.paths, create=create_password)
    from conf.settings import path_variables
    from deployments.stack.plan import plan_stack

    paths = path_variables(session.settings)
    return plan_stack(session.settings.paths, options, credentials, config=session.config, paths=paths)


def _login(session: Session, plan: "StackPlan") -> list[str]:
    """Say how to get in: Prefect's pages ask for user and password in one field, MLflow's for each."""
    if plan.credentials is None:
        return ["There is no password: every account of this machine can use the servers and run code as you."]
    if not (where := _password_file(session, plan.options)):
        return ["Log in with the user and password of PREFECT_SERVER_API_AUTH_STRING, on both servers."]
    user, password = plan.credentials.user, plan.credentials.password
    return [
        f"Prefect: log in with  {user}:{password}",
        f"MLflow:  log in as  {user}  with  {password}",
        f"The password is kept in {where}; commands and workers of this home use it by themselves.",
    ]


def _password_file(session: Session, options: StackOptions) -> str | None:
    """Return where the password is that was made for this home, if the stack has that one."""
    from conf.stack_state import PASSWORD_NAME

    return str(session.settings.paths.stack / PASSWORD_NAME) if options.login == "home" else None


def _running(session: Session) -> "StackState":
    """Read the state of a stack that runs.

    Raises:
        StackError: none does.
    """
    from conf.stack_state import read_state

    state = read_state(session.settings.paths)
    if state is None or not state.parts:
        raise StackError(f"No stack runs in {session.settings.paths.root}: `reelsift up` starts one.")
    return state


def _part(state: "StackState", name: str) -> "RunningPart":
    part = state.part(name)
    if part is None:
        raise StackError(f"The stack has no part {name!r}; there are {', '.join(part.name for part in state.parts)}.")
    return part
