"""The command `facepass` and its subcommands, written with Typer.

A subcommand imports its code only when it is called, so that `--help` and shell completion are
fast. Its result is the exit code of the command.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from deployments.command_line.parts import DISTRIBUTION, explain_missing
from models.vocabulary import ProfileName

app = typer.Typer(
    help="An event's photos from S3 to findable faces.",
    epilog="Settings come from the environment (FACEPASS_…): docs/settings.md lists them.",
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich would double the time that --help takes
    pretty_exceptions_enable=False,  # a log wants the plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(*words: str) -> NoReturn:
    """End the process with the exit code of the command line; `words` are put before it.

    `python -m deployments.stack` is `run("up")`.
    """
    code = main([*words, *sys.argv[1:]])
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: that waits for a push's uploads under way, for minutes where S3 hangs. Half of
    # one is nothing in S3.
    os._exit(code)


def main(arguments: Sequence[str]) -> int:
    """Run one subcommand; its exit code, or 2 for a command line that is not understood."""
    try:
        app(list(arguments), prog_name="facepass")
    except ModuleNotFoundError as error:
        told = explain_missing(next(iter(arguments), ""), error.name)
        if told is None:
            raise
        typer.echo(str(told), err=True)
        return 1
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def show_version(asked: bool) -> None:
    """Print the installed version and end."""
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"facepass {version(DISTRIBUTION)}")
        except PackageNotFoundError as error:  # run from a folder
            typer.echo(f"{DISTRIBUTION} is not installed here: its sources are run.", err=True)
            raise typer.Exit(1) from error
        raise typer.Exit


@app.callback()
def accept_global_options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """An event's photos from S3 to findable faces."""


Adopts = Annotated[
    bool,
    typer.Option("--adopt", help="Take over what another database has deployed to this server."),
]


@app.command()
def up(
    lan: Annotated[
        bool, typer.Option("--lan", help="Open it to phones of this network; print the link's QR.")
    ] = False,
    adopt: Adopts = False,
) -> None:
    """Run the whole stack in the foreground until Ctrl-C.

    Its data stays in FACEPASS_HOME.
    """
    from deployments.stack.__main__ import main as run_stack

    raise typer.Exit(run_stack(lan=lan, adopts=adopt))


@app.command(epilog="Exit codes: 0 all is well, 1 a line says what is wrong.")
def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object too, as the last line.")
    ] = False,
) -> None:
    """Try the database, S3, Prefect and the model pack one by one.

    Each line says what works, or what is wrong and what to set. Nothing is changed.
    """
    from deployments.doctor import main as examine_installation

    raise typer.Exit(examine_installation(as_json=as_json))


@app.command()
def ui_password() -> None:
    """Print the password of the running stack's Prefect UI."""
    from deployments.stack.__main__ import show_password

    raise typer.Exit(show_password())


@app.command()
def demo() -> None:
    """Run the main job once on sample photos.

    In a stack of its own, on free ports; nothing is left behind.
    """
    from deployments.demo import show_demo

    raise typer.Exit(show_demo())


@app.command()
def demo_event() -> None:
    """Add an event with sample photos to the running stack."""
    from deployments.demo import show_demo_event

    raise typer.Exit(show_demo_event())


@app.command(
    epilog="Exit codes: 0 done, 1 some files were not sent or the sync failed, 2 refused, "
    "3 the API or S3 is away, 4 asks for --delete or --keep, 130 stopped."
)
def push(
    folder: Annotated[
        Path, typer.Argument(metavar="PHOTOS_DIR", help="Folder of photos, RAW too.")
    ],
    event: Annotated[
        str, typer.Option(metavar="NAME|UUID", help="A name that is not there is added.")
    ],
    profile: Annotated[ProfileName | None, typer.Option(help="Of an event to be added.")] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="The folder's name in the event.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete from the event however many are gone.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Delete nothing from the event.")] = False,
    no_sync: Annotated[bool, typer.Option("--no-sync", help="Send only.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on sending what comes into it, until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of lines and bars.")
    ] = False,
) -> None:
    """Send a folder's photos to an event and sync it.

    What is new is added, what changed is replaced, what is no longer in the folder is deleted
    from the event; with --watch that stays, unless --delete is given too.
    """
    if delete and keep:
        raise typer.BadParameter("--delete and --keep exclude each other: give one of them.")
    if not as_json:  # before the imports, which take seconds on a busy machine
        typer.echo(f"Looking at {folder} ...", err=True)
    from deployments.push.command import push_folder
    from deployments.push.push import Options

    options = Options(
        folder, event, profile, source, delete=delete, keep=keep, sync=not no_sync, watch=watch
    )
    raise typer.Exit(push_folder(options, as_json=as_json))


EventName = Annotated[
    str, typer.Argument(metavar="NAME|UUID", help="A part of the name does where one has it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of lines.")]


@app.command()
def events(
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only those with this in their name.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the events: day, name, photos, failures, faces, UUID."""
    from deployments.photographer import commands

    raise typer.Exit(
        commands.run_command(lambda api: commands.list_events(api, name, as_json=as_json))
    )


@app.command()
def status(event: EventName, as_json: AsJson = False) -> None:
    """Show an event's photos, its newest sync and its link."""
    from deployments.photographer import commands

    raise typer.Exit(
        commands.run_command(lambda api: commands.show_status(api, event, as_json=as_json))
    )


@app.command()
def link(event: EventName) -> None:
    """Print the guests' link to an event, alone."""
    from deployments.photographer import commands

    raise typer.Exit(commands.run_command(lambda api: commands.show_link(api, event)))


@app.command()
def qr(event: EventName) -> None:
    """Print the guests' link to an event as a QR code."""
    from deployments.photographer import commands

    raise typer.Exit(commands.run_command(lambda api: commands.show_qr(api, event)))


@app.command()
def report(
    event: EventName,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A line for each photo.")] = False,
) -> None:
    """Tell what became of an event's photos, with the link of a page that does so.

    Failures with their full keys and reasons, what was left out, what no guest has opened.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other: give one of them.")
    from deployments.photographer import commands

    raise typer.Exit(
        commands.run_command(
            lambda api: commands.show_report(api, event, as_json=as_json, as_csv=as_csv)
        )
    )


@app.command(epilog="Exit codes: 0 completed, or none is under way; 1 it ended otherwise.")
def watch(event: EventName) -> None:
    """Follow an event's running sync to its end."""
    from deployments.photographer import commands

    raise typer.Exit(commands.run_command(lambda api: commands.watch_sync(api, event)))


@app.command(epilog="Exit codes: 0 measured, 2 refused, with a sentence that says why.")
def accuracy(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="A folder for each person, with photos of that person; "
            "../shared/data/lfw_part unless given.",
        ),
    ] = None,
    model_pack: Annotated[
        str | None, typer.Option(metavar="NAME|FOLDER", help="Instead of FACEPASS_MODEL_PACK.")
    ] = None,
    profile: Annotated[
        ProfileName, typer.Option(help="Of the event that the photos are.")
    ] = ProfileName.STANDARD,
    photos: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="At most so many, of whole people.")
    ] = None,
    docs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Make its accuracy.md anew.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write thresholds chosen by it into the model pack.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The line of JSON only.")] = False,
) -> None:
    """Measure what is found, and who else is shown, on photos of known people.

    Tables, then one line of JSON. Nothing of it holds a photo, a name or a face.
    """
    from tasks.accuracy.__main__ import Options, show_accuracy

    options = Options(folder, model_pack, profile, photos, docs, write=write, as_json=as_json)
    raise typer.Exit(show_accuracy(options))


@app.command()
def api() -> None:
    """Serve the REST API and the gallery."""
    from api.__main__ import main as serve_api

    raise typer.Exit(serve_api())


@app.command()
def migrate() -> None:
    """Bring the configured database's tables up to date."""
    from models.migrate import main as migrate_database

    raise typer.Exit(migrate_database())


@app.command()
def register(adopt: Adopts = False) -> None:
    """Tell the Prefect server of a release.

    The work pool is made if there is none, then everything in prefect.yaml is deployed. Needs the
    database, whose id is written on it.
    """
    from deployments.register import main as register_release

    raise typer.Exit(register_release(adopts=adopt))


@app.command(epilog="Exit codes: 0 written, 1 refused. Which pack to use: docs/insightface.md.")
def pack(
    recogniser: Annotated[
        Path, typer.Argument(metavar="FILE.onnx", help="As AuraFace's glintr100.onnx.")
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Of the pack; AuraFace's is auraface."),
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="The file's licence in a line; AuraFace's is known.")
    ] = "",
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Its licence allows commercial use.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the pack in the place of one of that name.")
    ] = False,
) -> None:
    """Make a model pack of the detector YuNet and a recogniser's file.

    FILE is of ArcFace's kind: faces of 112x112 pixels, 512 numbers a face. AuraFace's is
    https://huggingface.co/fal/AuraFace-v1 (glintr100.onnx, 261 MB, Apache-2.0); it is known by its
    SHA-256. The pack is written for all sizes of detection, into models/NAME, models/NAME-1280 and
    models/NAME-320 under FACEPASS_MODEL_ROOT.
    """
    if commercial and not licence:
        raise typer.BadParameter("--commercial needs --licence, which says what allows it.")
    from models.errors import FacePassError
    from models.settings import get_settings
    from tasks.packs.assembly import assemble_pack, read_recogniser

    try:
        found = read_recogniser(recogniser, name, licence, commercial=commercial)
        root = get_settings().model_root.expanduser().resolve() / "models"
        folder = assemble_pack(found, root, may_replace=replace)
    except FacePassError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"Written: {folder} (licence: {found.figures.licence}).")
    if not found.figures.commercial:
        typer.echo("Its licence must be read and accepted: FACEPASS_ACCEPT_NONCOMMERCIAL=1.")
    if not found.figures.source:
        typer.echo(
            "Next, measure its thresholds on photos of people you know: "
            f"facepass accuracy FOLDER --model-pack {shlex.quote(str(folder))} --write"
        )
    typer.echo(f"Then use it: FACEPASS_MODEL_PACK={shlex.quote(str(folder))}")


@app.command()
def result_storage(
    bucket: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Instead of FACEPASS_S3_BUCKET with -results after it."),
    ] = None,
) -> None:
    """Make the bucket and the Prefect block in which workers share results."""
    from deployments.result_storage import main as save_result_storage

    raise typer.Exit(save_result_storage(bucket))


if __name__ == "__main__":
    run()
