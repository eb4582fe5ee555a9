"""`ensemble`: several runs' kept predictions together."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_cluster.cli.output import Output, OutputOption, as_json, note, print_json
from resnet_cluster.cli.protocols import (
    AverageOption,
    ProtocolOption,
    RunsArgument,
    ScalesOption,
    ViewOption,
    choices,
    one_protocol,
    options_text,
)
from resnet_cluster.cli.stores import looked_up, opened_store
from resnet_cluster.cli.weights import counting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resnet_cluster.evaluation import Choice, EnsembleScore, Predictions
    from resnet_cluster.results import EnsembleRecord, RunSummary
    from resnet_cluster.spec import Average


def ensemble(
    runs: RunsArgument,
    protocol: ProtocolOption,
    scales: ScalesOption = None,
    view: ViewOption = None,
    average: AverageOption = None,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Search these runs for the best ensemble instead.")
    ] = False,
    most: Annotated[int, typer.Option(min=2, help="Runs that --greedy takes at most.")] = 6,
    output: OutputOption = Output.table,
) -> None:
    """Average the kept predictions of several runs, without a GPU, and store the errors."""
    from resnet_cluster.results import EnsembleRecord, EventLog

    with opened_store() as store:
        found = sorted((looked_up(store, run) for run in runs), key=lambda run: run.run_id)
    _check_runs(found)
    chosen = [choices(run, protocol, scales, view, average) for run in found]
    identity, averaged = one_protocol(found, chosen, protocol)
    options = options_text(protocol, scales, view, average)
    if greedy:
        _search(found, identity, averaged, most, options, output)
        return
    members = tuple(run.run_id for run in found)
    name = EnsembleRecord.name_of(members, identity, averaged, "test")
    # The first of the members has the event; the store finds it there.
    log = EventLog(found[0].run_dir)
    if name in log.names():
        note("this ensemble has been measured before")
    else:
        score = _measured([_predictions(run, identity, options) for run in found], averaged)
        log.record(_record(found, identity, averaged, score))
    record = log.load(name)
    assert isinstance(record, EnsembleRecord)
    _print(found, record, output)


def _search(
    runs: Sequence[RunSummary],
    identity: str,
    average: Average,
    most: int,
    options: str,
    output: Output,
) -> None:
    """Show which runs join, and the errors on the half of the images that had no part in it."""
    from resnet_cluster.evaluation import select_ensemble

    kept = [_predictions(run, identity, options) for run in runs]
    with counting("runs", "read") as on_progress:
        chosen = select_ensemble(kept, average, most=most, on_progress=on_progress)
    _record_search(runs, identity, average, chosen)
    for number, choice in enumerate(chosen, start=1):
        _print_choice(number, runs[choice.member], choice, output)
    members = [runs[choice.member].run_id for choice in chosen]
    names = " + ".join(runs[choice.member].name for choice in chosen)
    note(f"chosen: {names}; no other run lowers the first error, or --most are taken")
    note("the first error is of the images that selected: only the second one says how good it is")
    if len(members) > 1:
        command = shlex.join(["resnet-cluster", "ensemble", *members])
        note(f"`{command} {options}` measures it on all images, these among them")
    else:
        note(f"no other run lowers the error of {runs[chosen[0].member].name}")


def _record_search(
    runs: Sequence[RunSummary], identity: str, average: Average, chosen: Sequence[Choice]
) -> None:
    """Keep that the test images were looked at; the same search again is no new use."""
    from resnet_cluster.results import EventLog, SearchRecord

    judging = chosen[-1].judging
    record = SearchRecord(
        candidates=tuple(run.run_id for run in runs),
        chosen=tuple(runs[choice.member].run_id for choice in chosen),
        protocol=identity,
        average=average,
        num_images=judging.num_images,
        top1_err=judging.top1_err,
    )
    EventLog(runs[0].run_dir).record(record)


def _print_choice(number: int, run: RunSummary, choice: Choice, output: Output) -> None:
    if output is Output.json:
        judging = asdict(choice.judging)
        found = {"number": number, "run_id": run.run_id, "name": run.name}
        print_json(found | {"selecting_top1_err": choice.selecting_err, "judging": judging})
        return
    typer.echo(
        f"{number}  {run.name}  selecting {choice.selecting_err:.2f} %, "
        f"judging {choice.judging.top1_err:.2f} % ({choice.judging.num_images:,} images)"
    )


def _check_runs(runs: Sequence[RunSummary]) -> None:
    """Refuse what is no ensemble.

    Raises:
        UsageError: a run twice, a single one, or runs on different data.
    """
    from resnet_cluster.errors import UsageError

    if len({run.run_id for run in runs}) < max(2, len(runs)):
        raise UsageError(
            "an ensemble is of two runs or more, each named once",
            mend="`resnet-cluster list` shows the runs",
        )
    first = runs[0]
    for run in runs[1:]:
        if run.dataset.num_classes != first.dataset.num_classes:
            what = f"tell {first.dataset.num_classes} and {run.dataset.num_classes} classes apart"
        elif run.dataset.sha256 != first.dataset.sha256:
            what = f"were trained on {first.dataset.name} and {run.dataset.name}: other images"
        else:
            continue
        raise UsageError(
            f"{first.name} and {run.name} {what}",
            mend="name runs on one data set, whose test images they share",
        )


def _predictions(run: RunSummary, identity: str, options: str) -> Predictions:
    """What was kept of a run.

    Args:
        run: the run.
        identity: of the protocol.
        options: of the command that makes them.

    Raises:
        PreflightError: nothing was.
        IntegrityError: it is damaged, or of other images.
    """
    from resnet_cluster.errors import IntegrityError, PreflightError
    from resnet_cluster.evaluation import Predictions, predictions_folder, read_contents

    folder = predictions_folder(run.run_dir, identity, "test", run.job.evaluate.select)
    contents = read_contents(folder)
    if contents is None:
        raise PreflightError(
            f"{run.name} ({run.run_id}) has no predictions under {identity}",
            mend=f"make them with `resnet-cluster evaluate {run.run_id} {options}`; where they "
            "find no room, with a larger --predictions-gb",
        )
    if contents.dataset_sha256 != run.dataset.sha256:
        raise IntegrityError(f"{folder}: of another data set", mend="remove the folder")
    return Predictions(folder)


def _measured(members: list[Predictions], average: Average) -> EnsembleScore:
    from resnet_cluster.evaluation import evaluate_ensemble

    with counting("images", f"{len(members)} runs") as on_progress:
        measured = evaluate_ensemble(members, average, on_progress)
    if measured.num_moved:
        note(
            f"warning: on {measured.num_moved:,} images a run's kept predictions, rounded, judge "
            "otherwise than the run did"
        )
    return measured


def _record(
    runs: Sequence[RunSummary], identity: str, average: Average, measured: EnsembleScore
) -> EnsembleRecord:
    from resnet_cluster.results import EnsembleRecord, Errors

    selects = {run.job.evaluate.select for run in runs}
    return EnsembleRecord(
        members=tuple(run.run_id for run in runs),
        protocol=identity,
        average=average,
        split="test",
        select=selects.pop() if len(selects) == 1 else "mixed",
        num_moved=measured.num_moved,
        errors=Errors(**asdict(measured.score)),
    )


def _print(runs: Sequence[RunSummary], record: EnsembleRecord, output: Output) -> None:
    from resnet_cluster.cli.display import describe

    if output is Output.json:
        print_json({"names": [run.name for run in runs]} | as_json(record))
        return
    for run in runs:
        for evaluation in run.evaluations:
            if (evaluation.protocol, evaluation.split) == (record.protocol, record.split):
                typer.echo(f"{run.name}  {describe(evaluation)}")
    typer.echo(f"together  {describe(record)}")
