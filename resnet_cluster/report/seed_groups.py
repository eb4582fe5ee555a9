"""Groups of seeds: the figures that stand for an experiment when two are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from resnet_cluster.errors import UsageError
from resnet_cluster.report.escaping import plain
from resnet_cluster.report.measured import Identity, Measured, cells
from resnet_cluster.report.naming import model_name
from resnet_cluster.spec import flattened

_ABSENT = "none"


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedGroup:
    """Figures of one identity, each of another seed; equal to itself alone.

    Attributes:
        name: of its first run, and how many more there are.
        figures: at least one.
    """

    name: str
    figures: tuple[Measured, ...]

    @property
    def errors(self) -> tuple[float, ...]:
        """Top-1 errors in percent."""
        return tuple(one.top1_err for one in self.figures if one.top1_err is not None)

    @property
    def identity(self) -> Identity:
        """What its figures share."""
        identity = self.figures[0].identity
        assert identity is not None
        return identity

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Ids of its runs."""
        return tuple(one.run.run_id for one in self.figures)

    @property
    def marks(self) -> tuple[str, ...]:
        """What is to be known of all of its runs: trained elsewhere, or longer or shorter than
        their job file says."""
        setup = self.figures[0].run.setup
        if setup.imported_weights:
            return ("trained elsewhere",)
        usual = setup.job.train.shortened_from
        if not usual:
            return ()
        number, unit = usual.split()
        own = getattr(setup.job.train, unit)  # None where the length is in the other unit
        how = "lengthened" if own is not None and own > float(number) else "shortened"
        return (f"{how} from {usual}",)


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """A key that two experiments differ in, and its values."""

    key: str
    first: str
    second: str


def seeds_of(named: Measured, figures: Sequence[Measured]) -> SeedGroup:
    """A figure and those of the same experiment with other seeds.

    Args:
        named: the figure; it stands for its seed.
        figures: those of all runs, the oldest first; of several with a seed the newest counts.
    """
    alike = [one for one in figures if one.identity == named.identity]
    (cell,) = cells([*alike, named]).values()
    more = len(cell.figures) - 1
    name = f"{named.run.name} +{more}" if more else named.run.name
    return SeedGroup(name=name, figures=cell.figures)


def listed_seeds(figures: Sequence[Measured]) -> SeedGroup:
    """A group of these very figures.

    Raises:
        UsageError: they are of different experiments, or two are of one seed.
    """
    first, *others = figures
    for one in others:
        if one.identity != first.identity:
            unlike = ", ".join(each.key for each in differing(first, one))
            raise UsageError(
                f"{first.run.name} and {one.run.name} are no seeds of one experiment: they differ "
                f"in {unlike}",
                mend="put a space between them to compare them",
            )
    seeds = [one.run.seed for one in figures]
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise UsageError(
            f"several of the runs in {', '.join(one.run.run_id for one in figures)} have the seed "
            f"{twice[0]}: they are not two draws",
            mend="name one of each seed",
        )
    name = f"{first.run.name} +{len(others)}" if others else first.run.name
    return SeedGroup(name=name, figures=tuple(figures))


def unmeasured(group: SeedGroup, figures: Sequence[Measured]) -> tuple[str, ...]:
    """Ids of runs of more seeds, which have their figure under another protocol only."""
    known = {one.run.seed for one in group.figures}
    found: dict[int, str] = {}
    for one in figures:
        if one.identity is None or one.run.seed in known:
            continue
        if one.identity.recipe_hash == group.identity.recipe_hash:
            alike = replace(one.identity, protocol=group.identity.protocol)
            if alike == group.identity:
                found[one.run.seed] = one.run.run_id
    return tuple(found.values())


def check_comparable(groups: Sequence[SeedGroup]) -> None:
    """Refuse what cannot be told from its data, or is one thing.

    Raises:
        UsageError: other data, another protocol, or a run in two groups.
    """
    first, *others = groups
    for one in others:
        for field, words in _SHARED.items():
            if getattr(first.identity, field) != getattr(one.identity, field):
                raise UsageError(
                    f"{first.name} and {one.name} cannot be compared: their {words} differ "
                    f"({_shared_text(first, field)} and {_shared_text(one, field)})",
                    mend="name runs that were trained and measured on the same images, alike",
                )
    seen: dict[str, SeedGroup] = {}
    for group in groups:
        for run_id in group.run_ids:
            if run_id in seen:
                raise UsageError(
                    f"{run_id} is in {seen[run_id].name} and in {group.name}: seeds of one "
                    "experiment stand together",
                    mend="name runs of two experiments, or single runs with --alone",
                )
            seen[run_id] = group


_SHARED = {
    "dataset_sha256": "data sets",
    "num_train_images": "numbers of training images",
    "split": "splits",
    "protocol": "protocols",
}
"""Parts of the identity that two figures must share to be compared, and what they are called."""


def _shared_text(group: SeedGroup, field: str) -> str:
    value = _short(getattr(group.identity, field))
    if field != "dataset_sha256":
        return value
    return f"{plain(group.figures[0].run.setup.dataset.name)} {value}"


def differing(first: Measured, second: Measured) -> tuple[Unlike, ...]:
    """What two experiments differ in: the network, keys of the recipe, and what was measured.

    Of weights that were trained elsewhere the recipe is not known.
    """
    ours, theirs = dict(_keys(first)), dict(_keys(second))
    if first.run.setup.imported_weights or second.run.setup.imported_weights:
        ours, theirs = _without_recipe(ours), _without_recipe(theirs)
    return tuple(
        Unlike(key=key, first=ours.get(key, _ABSENT), second=theirs.get(key, _ABSENT))
        for key in dict.fromkeys([*ours, *theirs])
        if ours.get(key, _ABSENT) != theirs.get(key, _ABSENT)
    )


def _without_recipe(keys: Mapping[str, str]) -> dict[str, str]:
    kept = ("data.view", "data.normalize")
    return {
        key: value
        for key, value in keys.items()
        if not key.startswith(("train", "data.")) or key.startswith(kept)
    }


def _keys(figure: Measured) -> Iterator[tuple[str, str]]:
    setup, identity = figure.run.setup, figure.identity
    assert identity is not None
    yield "model", plain(model_name(setup.job.model))
    sections = setup.job.model_dump(mode="json", include={"model", "data", "train"})
    for key, value in flattened(sections):
        if key not in ("data.name", "train.shortened_from"):
            yield plain(key), _ABSENT if value is None else plain(str(value))
    for name in (field.name for field in fields(Identity)):
        if name not in ("model", "recipe_hash"):
            yield name, _short(getattr(identity, name))


def _short(value: object) -> str:
    """A value as people read it: the beginning of a hash."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = plain(str(value))
    return text[:12] if len(text) == 64 else text or _ABSENT
