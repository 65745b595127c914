"""The report of a measurement: tables for people, and one JSON object."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tasks.accuracy.measure import Measurement
from tasks.accuracy.rates import Rates
from tasks.accuracy.samples import ViewRates

DIGITS = 5
SHOWN = 5  # of the thresholds that were measured each fifth is in the table

Cells = list[list[str]]


def describe(measurement: Measurement) -> dict[str, Any]:
    """The measurement as JSON has it."""
    described: dict[str, Any] = _round(asdict(measurement))
    return described


def _round(value: Any) -> Any:  # noqa: ANN401 (any part of a JSON object)
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {str(key): _round(item) for key, item in value.items()}
    return [_round(item) for item in value] if isinstance(value, list) else value


def list_tables(measured: Measurement) -> dict[str, Cells]:
    """Each table by its title; the first row is its head."""
    return {
        "At the pack's thresholds": _list_marks(measured),
        "By threshold": _list_thresholds(measured),
        "Largest face, of the photo's longer side": [
            ["", *measured.by_face_share],
            ["photos", *map(str, measured.by_face_share.values())],
        ],
        "Turned": _list_turns(measured),
        "Close-ups": _list_close_ups(measured),
        "Smaller faces": _list_views("face", measured.face_heights),
        "Different people who look alike": _list_pairs(measured),
    }


def summarise(measured: Measurement) -> str:
    """Whom and what the figures are of, in plain sentences."""
    refused = sum(measured.refused_selfies.values())
    return (
        f"{measured.pack}, profile `{measured.profile}`: {measured.photos} photos of "
        f"{measured.people} people ({measured.unreadable} more could not be read), a face in "
        f"{measured.photos_with_face} of them, {measured.faces} faces. {measured.searches} photos "
        f"of {measured.guests} people were each a selfie that looks for that person in all the "
        f"others; {refused} were refused as selfies, {measured.without_seed} searched without a "
        f"seed. Photos of a doubtful folder: {measured.doubtful_photos}; they count as they are "
        "sorted, and are left out where it says trusted or by the rule. Other views: "
        f"{measured.turned_photos[0].photos} photos, one a person."
    )


def write_tables(console: Console, measured: Measurement) -> None:
    """Print them."""
    console.print(summarise(measured), markup=False)
    print_tables(console, list_tables(measured))
    console.print(f"{measured.seconds:.0f} s", markup=False)


def print_tables(console: Console, tables: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Print tables by title, each with the names of its columns first."""
    for title, cells in tables.items():
        table = Table(title=title, title_justify="left")
        for name in cells[0]:
            table.add_column(name, justify="right")
        for line in cells[1:]:
            table.add_row(*line)
        console.print(table)


def _tell(rates: Rates) -> list[str]:
    return [f"{rates.recall:.1%}", f"{rates.wrong:.3f}", f"{rates.wrong_any:.1%}"]


RATES_HEAD = ["own photos", "wrong a guest", "guests with any"]
EXPANDED_HEAD = ["own, expanded", "wrong", "with any"]


def _list_marks(measured: Measurement) -> Cells:
    marks = [("all", name, rates) for name, rates in measured.marks.items()]
    marks += [("trusted", name, rates) for name, rates in measured.trusted_marks.items()]
    marks += [("by the rule", name, rates) for name, rates in measured.chosen_marks.items()]
    rows = [[name, by, f"{rates.threshold:.2f}", *_tell(rates)] for by, name, rates in marks]
    return [["shown as", "photos", "threshold", *RATES_HEAD], *rows]


def _list_thresholds(measured: Measurement) -> Cells:
    expanded = {rates.threshold: rates for rates in measured.expanded}
    rows = [
        [
            f"{rates.threshold:.2f}",
            *_tell(rates),
            *(_tell(expanded[rates.threshold]) if expanded else ["–"] * 3),
        ]
        for rates in measured.plain[::SHOWN]
    ]
    return [["threshold", *RATES_HEAD, *EXPANDED_HEAD], *rows]


def _tell_view(rates: ViewRates) -> list[str]:
    expanded = "–" if rates.expanded is None else f"{rates.expanded:.1%}"
    return [f"{rates.detected:.1%}", f"{rates.plain:.1%}", expanded]


def _list_views(name: str, views: Sequence[ViewRates]) -> Cells:
    head = [name, "photos", "detected", "pairs", "found", "found, expanded"]
    rows = []
    for view in views:
        detected, plain, expanded = _tell_view(view)
        rows.append([view.view, str(view.photos), detected, str(view.pairs), plain, expanded])
    return [head, *rows]


def _list_turns(measured: Measurement) -> Cells:
    head = ["turned by", "photo detected", "found", "expanded"]
    head += ["selfie accepted", "finds", "expanded"]
    pairs = zip(measured.turned_photos, measured.turned_selfies, strict=True)
    return [head, *([photo.view, *_tell_view(photo), *_tell_view(own)] for photo, own in pairs)]


def _list_close_ups(measured: Measurement) -> Cells:
    head, rows = _list_views("of the frame", [])[0], []
    for profile, views in measured.close_ups.items():
        rows += [[profile, *line] for line in _list_views("", views)[1:]]
    return [["profile", *head], *rows]


def _list_pairs(measured: Measurement) -> Cells:
    kinds = {"in one photo": measured.in_photo_pairs, "others": measured.other_people}
    thresholds = list(measured.other_people.above)
    rows = []
    for name, rates in kinds.items():
        rare = "–" if rates.rare is None else f"{rates.rare:.3f}"
        shares = [f"{rates.above[t]:.0e}" if rates.above else "–" for t in thresholds]
        rows.append([name, str(rates.pairs), rare, *shares])
    return [["", "pairs", "99.9 % below", *(f"≥ {t:.2f}" for t in thresholds)], *rows]
