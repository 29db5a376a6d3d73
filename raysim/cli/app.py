"""The command line, one file a command. It only reads and prints.

Exit status: 0 all went well, 1 a trial failed, 2 the user must change something, 130 interrupted.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from raysim.cli import bench, catalogue, data, doctor, new, plan, predict, report, run, schema, stop, validate, watch
from raysim.cli.start import complain, homeless, open_streams, out_of_memory, unwritable
from raysim.data.dataset import DataError
from raysim.version import VERSION

app = typer.Typer(
    help="Simulate multimodal federated learning when clients lack modalities.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the console script.

    Args:
        arguments: what follows `raysim`; the process's own where None.

    Returns:
        The exit status.
    """
    open_streams()
    if problem := homeless():
        complain(f"raysim: {problem}")
        return 2
    try:
        return app(arguments, prog_name="raysim", standalone_mode=False) or 0
    except typer.TyperException as error:
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        said: Any = getattr(error, "ctx", None)  # of wrong usage
        complain(f"raysim: {message}; see {'raysim' if said is None else said.command_path} --help")
        return 2
    except DataError as error:
        complain(f"raysim: {error}")
        return 2
    except MemoryError:
        out_of_memory()
        return 1
    except OSError as error:
        return unwritable(error)
    except (typer.Abort, KeyboardInterrupt):
        return 130


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Simulate multimodal federated learning when clients lack modalities."""
    if version:
        typer.echo(f"raysim {VERSION}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(run.run)
app.command()(watch.watch)
app.command()(stop.stop)
app.command()(validate.validate)
app.command()(plan.plan)
app.command()(bench.bench)
app.command(name="list")(catalogue.show)
app.command()(catalogue.info)
app.command()(new.new)
app.command()(doctor.doctor)
app.command()(schema.schema)
app.command()(report.report)
app.command()(predict.predict)
