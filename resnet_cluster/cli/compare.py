"""`compare`: whether the difference between runs, or groups of seeds, is real."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, OutputOption, console, note, print_json
from resnet_cluster.cli.protocols import (
    AverageOption,
    ProtocolName,
    ProtocolOption,
    ScalesOption,
    ViewOption,
    choices,
    one_protocol,
    options_text,
)
from resnet_cluster.cli.stores import looked_up, opened_store
from resnet_cluster.cli.weights import weights_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from resnet_cluster.report.comparison import Contender, Contrast
    from resnet_cluster.report.measured import Measured
    from resnet_cluster.report.seed_groups import SeedGroup
    from resnet_cluster.results import ResultStore, RunSummary


def compare(
    groups: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...",
            help="Two or more: a run (id, beginning of one, name) for all seeds of its "
            "experiment, or a list of runs with commas.",
        ),
    ],
    protocol: ProtocolOption = ProtocolName.single,
    scales: ScalesOption = None,
    view: ViewOption = None,
    average: AverageOption = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="A run stands for itself, not for its seeds.")
    ] = False,
    points: Annotated[
        float,
        typer.Option(help="Count the seeds that would tell a difference of so many points."),
    ] = 0.2,
    output: OutputOption = Output.table,
) -> None:
    """Say whether the difference between runs, or groups of seeds, is real."""
    from resnet_cluster.report.comparison import compare
    from resnet_cluster.report.seed_groups import check_comparable

    _check(groups, points)
    with opened_store() as store:
        named = [[looked_up(store, run) for run in group.split(",")] for group in groups]
        runs = [run for group in named for run in group]
        chosen = [choices(run, protocol, scales, view, average) for run in runs]
        identity, _ = one_protocol(runs, chosen, protocol)
        options = options_text(protocol, scales, view, average)
        found = _grouped(store, named, _Asked(identity, options), alone=alone)
        check_comparable(found)
        contenders = _with_predictions(store, found, options)
    _print(contenders, compare(contenders, points), output)


@dataclass(frozen=True)
class _Asked:
    """Which figure of each run."""

    identity: str
    """Of the protocol."""
    options: str
    """Of the command that measures it."""

    def figure(self, run: RunSummary, figures: Sequence[Measured]) -> Measured:
        """That of a run.

        Raises:
            RunNotFinishedError: it has no weights yet.
            PreflightError: it was not measured so.
        """
        from resnet_cluster.errors import PreflightError

        for one in figures:
            if one.run.run_id == run.run_id and one.identity is not None:
                asked = (self.identity, "test", run.job.evaluate.select)
                if (one.identity.protocol, one.identity.split, one.identity.select) == asked:
                    return one
        weights_file(run)
        raise PreflightError(
            f"{run.name} ({run.run_id}) has no figure under {self.identity}",
            mend=f"measure it with `resnet-cluster evaluate {run.run_id} {self.options}`",
        )


def _check(groups: Sequence[str], points: float) -> None:
    from resnet_cluster.errors import UsageError

    if len(groups) < 2:
        raise UsageError(
            "a comparison is of two or more", mend="`resnet-cluster list` shows the runs"
        )
    if any(not run for group in groups for run in group.split(",")):
        raise UsageError(
            "a list of runs has an empty place", mend="separate them by single commas: a,b,c"
        )
    if not 0 < points <= 100:
        raise UsageError(f"--points {points:g} is no difference of errors", mend="give 0 to 100")


def _grouped(
    store: ResultStore, named: Sequence[Sequence[RunSummary]], asked: _Asked, *, alone: bool
) -> tuple[SeedGroup, ...]:
    from resnet_cluster.report.measured import measured
    from resnet_cluster.report.seed_groups import listed_seeds, seeds_of, unmeasured

    figures = measured(store.outlines())
    found = []
    for runs in named:
        own = [asked.figure(run, figures) for run in runs]
        if len(own) > 1 or alone:
            found.append(listed_seeds(own))
            continue
        found.append(seeds_of(own[0], figures))
        if others := unmeasured(found[-1], figures):
            command = shlex.join(["resnet-cluster", "evaluate", *others])
            note(
                f"{len(others)} more seeds of {runs[0].name} have no figure under "
                f"{asked.identity}: `{command} {asked.options}` measures them"
            )
    return tuple(found)


def _with_predictions(
    store: ResultStore, groups: Sequence[SeedGroup], options: str
) -> tuple[Contender, ...]:
    from resnet_cluster.report.comparison import Contender

    kept, lacking = [], []
    for group in groups:
        folders = {run_id: _folder(store, run_id, group) for run_id in group.run_ids}
        lacking += [run_id for run_id, folder in folders.items() if folder is None]
        kept.append([folder for folder in folders.values() if folder is not None])
    if lacking:
        command = shlex.join(["resnet-cluster", "evaluate", *lacking])
        note(
            "nothing is told of the test images, or of pairs of runs on them, where predictions "
            f"are not kept: `{command} {options}` makes them; where they find no room, with a "
            "larger --predictions-gb"
        )
    whole = [len(own) == len(group.figures) for group, own in zip(groups, kept, strict=True)]
    wrong = iter(_wrong([own for own, is_whole in zip(kept, whole, strict=True) if is_whole]))
    return tuple(
        Contender(group=group, wrong=next(wrong) if is_whole else None)
        for group, is_whole in zip(groups, whole, strict=True)
    )


def _folder(store: ResultStore, run_id: str, group: SeedGroup) -> Path | None:
    """Where a run's predictions are kept; None where they are not.

    Raises:
        IntegrityError: they are of other images.
    """
    from resnet_cluster.errors import IntegrityError
    from resnet_cluster.evaluation import predictions_folder, read_contents

    run, identity = store.run(run_id), group.identity
    folder = predictions_folder(run.run_dir, identity.protocol, identity.split, identity.select)
    contents = read_contents(folder)
    if contents is None:
        return None
    facts = (contents.dataset_sha256, contents.num_images)
    if facts != (identity.dataset_sha256, run.dataset.num_test_images):
        raise IntegrityError(f"{folder}: of another data set", mend="remove the folder")
    return folder


def _wrong(groups: Sequence[Sequence[Path]]) -> list[NDArray[np.bool_]]:
    """What each group's runs get wrong, bool [runs, images]; files are hashed on all cores."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from resnet_cluster.evaluation import wrong_images

    with ThreadPoolExecutor() as pool:
        found = pool.map(wrong_images, [folder for folders in groups for folder in folders])
        return [np.stack([next(found) for _ in folders]) for folders in groups]


def _print(contenders: Sequence[Contender], contrasts: Sequence[Contrast], output: Output) -> None:
    from resnet_cluster.report.comparison_objects import comparison_object
    from resnet_cluster.report.comparison_terminal import print_comparison

    labels = {each.group: _label(place) for place, each in enumerate(contenders)}
    if output is Output.json:
        print_json(comparison_object(contenders, contrasts, labels))
    else:
        print_comparison(contenders, contrasts, labels, console())


def _label(place: int) -> str:
    """A, B, ... Z, A1, ..."""
    rounds, letter = divmod(place, 26)
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[letter] + (str(rounds) if rounds else "")
