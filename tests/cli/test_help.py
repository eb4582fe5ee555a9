"""What the tool says of itself, and that saying it is cheap."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from cli_calls import Call
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

import resnet_cluster
from resnet_cluster.cli.app import app

ROOT = Path(__file__).resolve().parents[2]


def _commands(group: TyperGroup, path: str = "") -> dict[str, TyperCommand]:
    found: dict[str, TyperCommand] = {}
    for name, command in group.commands.items():
        here = f"{path} {name}".strip()
        if isinstance(command, TyperGroup):
            assert command.help, here
            found |= _commands(command, here)
        else:
            assert isinstance(command, TyperCommand)
            found[here] = command
    return found


_APP = typer.main.get_command(app)
assert isinstance(_APP, TyperGroup)
COMMANDS = _commands(_APP)
by_command = pytest.mark.parametrize("path", COMMANDS)


def test_the_promised_commands_are_there() -> None:
    promised = "init submit list status logs wait stop resume rm report"
    assert set(COMMANDS) >= {*promised.split(), "data prepare", "data list", "data info"}


@by_command
def test_help_tells_of_the_command_and_each_option(path: str, call: Call) -> None:
    shown = call(*path.split(), "--help")
    assert (shown.code, shown.err) == (0, "")
    text = " ".join(shown.out.split())
    command = COMMANDS[path]
    assert command.help
    assert " ".join(command.help.split()) in text
    for parameter in command.params:
        assert isinstance(parameter, TyperArgument | TyperOption)
        assert parameter.help, parameter.name
        assert " ".join(parameter.help.split()) in text


@by_command
def test_the_readme_shows_the_command_and_each_option(path: str) -> None:
    readme = (ROOT / "README.md").read_text()
    assert re.search(rf"resnet-cluster {path}\b", readme)
    options = [name for parameter in COMMANDS[path].params for name in parameter.opts]
    missing = [
        name
        for name in options
        if name.startswith("--") and not re.search(rf"{name}(?![\w-])", readme)
    ]
    assert not missing


def test_no_arguments_show_the_commands(call: Call) -> None:
    shown = call()
    assert all(name.split()[0] in shown.out + shown.err for name in COMMANDS)


def test_version(call: Call) -> None:
    assert call("--version").out == f"resnet-cluster {resnet_cluster.__version__}\n"


def test_an_unknown_command_is_a_usage_error(call: Call) -> None:
    refused = call("sumbit")
    assert refused.code == 2
    assert "sumbit" in refused.err


@pytest.mark.parametrize(
    ("argvs", "heavy"),
    [
        (
            [["--help"], *([*path.split(), "--help"] for path in COMMANDS)],
            "torch ray ffcv sqlalchemy",
        ),
        ([["list"], ["report"], ["report", "-o", "json"], ["data", "list"]], "torch ray ffcv"),
    ],
    ids=["help", "reading"],
)
def test_light_commands_import_nothing_heavy(
    argvs: list[list[str]], heavy: str, home: Path
) -> None:
    program = f"""
import sys
from resnet_cluster.cli import main
for argv in {argvs!r}:
    sys.argv = ["resnet-cluster", *argv]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 0, argv
print("IMPORTED", sorted(set(sys.modules) & set({heavy.split()!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "IMPORTED []"
