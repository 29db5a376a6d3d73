"""The command `raysim doctor`: status 0 where a study can run, 1 where none can."""

import sys
from typing import Annotated

import typer

from raysim.cli.start import add_here
from raysim.report.text import counted, encodable


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Say what is installed and prepared, and how to mend gaps."""
    add_here()
    from raysim.fitness import Finding, as_json, findings, possible  # looks at all packages

    found: list[Finding] = []
    for finding in findings():
        found.append(finding)
        if not json_:
            line = f"{finding.state:<6} {finding.topic:<8} {finding.name:<18} {finding.says}"
            typer.echo(encodable(line, sys.stdout.encoding))
            if finding.remedy:
                typer.echo(encodable(f"       -> {finding.remedy}", sys.stdout.encoding))
    if json_:
        typer.echo(as_json(found))
    elif possible(found):
        gaps = sum(finding.state == "gap" for finding in found)
        more = f"; {counted(gaps, 'gap')}, see -> above" if gaps else ""
        typer.echo(f"\nStudies can run{more}.")
    else:
        typer.echo("\nNo study can run before what is bad is mended, see -> above.")
    return 0 if possible(found) else 1
