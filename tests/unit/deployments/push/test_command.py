"""Exit codes, the summary and its JSON."""

import json
import warnings
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.main import get_command

from api.schemas import read_examples
from deployments.facepass import app
from deployments.push import command, report
from deployments.push.command import ExitCode, judge_report, name_exit_code, push_folder
from deployments.push.folder import LocalFile
from deployments.push.push import Options, Push
from deployments.push.report import NAMED_AT_MOST, Report, Screen
from deployments.push.upload import NamedPhoto, UploadResult
from docs.tools.push_picture import draw
from models.errors import (
    ApiUnavailableError,
    ConfigurationError,
    DeletionRefusedError,
    FacePassError,
    PushRefusedError,
    S3AccessError,
    S3DownloadError,
)

DOCS = Path(__file__).parents[4] / "docs" / "push.md"


def make_result(
    name: str, *, reason: str | None = None, not_sent: str | None = None
) -> UploadResult:
    photo = NamedPhoto(LocalFile(Path(name), name, 1_500_000), name)
    return UploadResult(photo, (1, 1), reason=reason, not_sent=not_sent, is_done=not not_sent)


def name(*results: UploadResult) -> dict[str, UploadResult]:
    return {result.photo.name: result for result in results}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (DeletionRefusedError, 4),
        (ApiUnavailableError, 3),
        (S3DownloadError, 3),
        (PushRefusedError, 2),
        (ConfigurationError, 2),
        (S3AccessError, 2),
    ],
)
def test_each_kind_of_error_has_its_exit_code(kind: type[FacePassError], code: int) -> None:
    assert name_exit_code(kind("A sentence.")) == code


def test_every_exit_code_is_documented() -> None:
    text = DOCS.read_text("utf-8")
    assert [code for code in ExitCode if f"| {code.value} |" not in text] == []


def test_every_option_is_documented() -> None:
    text = DOCS.read_text("utf-8")
    push = get_command(app).commands["push"]
    options = {option for parameter in push.params for option in parameter.opts}
    assert {"--event", "--json", "--no-sync"} <= options
    named = options - {"folder", "--help", "-h"}
    assert [option for option in named if f"`{option}" not in text] == []


def test_what_is_not_in_the_gallery_is_not_called_done() -> None:
    done = {"state": "completed"}
    assert judge_report(Report(sync=done, results=name(make_result("1.jpg", reason="empty")))) == 0
    assert judge_report(Report(sync=None)) == 0
    assert judge_report(Report(sync={"state": "failed"})) == 1
    assert judge_report(Report(sync=done, results=name(make_result("1.jpg", not_sent="why")))) == 1
    assert judge_report(Report(sync=done, skipped=Counter(unnameable=1))) == 1


def test_an_error_is_one_sentence_and_one_json_object(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACEPASS_HOME", str(tmp_path))
    from models.settings import get_settings

    get_settings.cache_clear()
    assert push_folder(Options(tmp_path, "Свадьба"), as_json=False) == ExitCode.REFUSED
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert push_folder(Options(tmp_path, "Свадьба"), as_json=True) == ExitCode.REFUSED
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert (told["exit_code"], shown.err) == (2, "")
    assert "There is nothing to push to" in told["error"]
    get_settings.cache_clear()


def test_a_ctrl_c_says_that_the_next_run_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "find_target", interrupt)
    assert push_folder(Options(Path("x"), "Свадьба"), as_json=False) == ExitCode.INTERRUPTED
    assert "run the same command again, and it goes on" in capsys.readouterr().err


def test_the_summary_names_the_files_that_need_a_look() -> None:
    many = [make_result(f"{number}.jpg", reason="empty") for number in range(NAMED_AT_MOST + 2)]
    report = Report(
        photos=23,
        skipped=Counter(raw_pair=3, unnameable=1),
        results=name(*many, make_result("Кофе/\x1b[31m.jpg", not_sent="it changed")),
        sync={"result": {**read_examples()["SyncStatus"]["result"], "failed": 22}},
    )
    text = "\n".join(report.tell())
    assert "Photos    23: 0 sent, 22 unchanged, 1 not sent (0.0 MB); 0 deleted" in text
    assert "Left out  3 RAW files beside their photos and 1 photo whose name is no text." in text
    assert "Rename photos whose names are no text." in text
    assert "120 new photos, 30 known before, 4 without a face, 22 failed; 311 faces found" in text
    assert "0.jpg (empty), 1.jpg (empty)" in text
    assert (
        "Note      In this event 1 pair of different people in 1,000 looks alike above 0.47" in text
    )
    assert "and 2 more" in text
    assert "Кофе/\ufffd[31m.jpg (it changed)" in text
    told = report.as_json()
    assert len(told["unreadable"]) == NAMED_AT_MOST + 2
    assert json.loads(json.dumps(told)) == told


def test_what_pillow_says_of_a_photos_notes_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def warn() -> None:
        warnings.warn_explicit(
            "Corrupt EXIF data", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin"
        )
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "find_target", warn)
    push_folder(Options(Path("x"), "Свадьба"), as_json=True)
    assert not recwarn.list


def test_a_name_that_is_no_text_can_be_shown_and_printed() -> None:
    assert make_result("a\udcff\n.jpg").shown_name == "a\ufffd\ufffd.jpg"


def test_the_bars_come_to_their_ends() -> None:
    console = Console(record=True, width=90, force_terminal=False, quiet=False)
    screen = Screen(console)
    results = [make_result(f"{number}.jpg") for number in range(4)]
    with screen.show_transfer([result.photo for result in results]) as shown:
        for result in results:
            shown.note_preview(result)
        for result in results:
            shown.note_original(result)
    with screen.show_sync() as show:
        status = {"state": "retrying", "detail": "S3 unreachable, next try 14:05"}
        show({**status, "progress": {"processed": 0, "total": 0}}, 0)
        show({"state": "running", "progress": {"processed": 4, "total": 4}, "detail": None}, 7)
    text = console.export_text(clear=False)
    picture = draw(console)
    assert "4/4" in text
    assert "6.0/6.0 MB" in text
    assert "7 faces" in text
    assert "@font-face" not in picture
    assert "4/4" in picture


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_log_gets_a_line_now_and_then_and_a_terminal_its_bars(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "LOG_EVERY_S", 0)
    console = Console(record=True, width=90, force_terminal=is_terminal, quiet=False)
    results = [make_result(f"{number}.jpg") for number in range(4)]
    with Screen(console).show_transfer([result.photo for result in results]) as shown:
        shown.note_preview(results[0])
        shown.note_original(results[0])
    with Screen(console).show_sync() as show:
        show({"state": "running", "progress": {"processed": 3, "total": 4}, "detail": None}, 7)
    told = [
        "Sent      1 of 4 previews, 0.0 of 6.0 MB of originals",
        "Sent      1 of 4 previews, 1.5 of 6.0 MB of originals",
        "Faces     3 of 4 photos, 7 faces",
    ]
    printed = console.export_text().splitlines()
    assert [line.rstrip() for line in printed if line.rstrip() in told] == (
        [] if is_terminal else told
    )


@pytest.mark.parametrize(
    ("url", "is_local"), [("http://127.0.0.1:8000/g", True), ("https://faces.example.com/g", False)]
)
def test_a_link_is_alone_on_standard_output_and_has_a_qr_code_where_phones_reach_it(
    capsys: pytest.CaptureFixture[str], url: str, is_local: bool
) -> None:
    console = Console(record=True, width=100, file=StringIO())
    Screen(console).show_link(url)
    assert capsys.readouterr().out == f"{url}\n"
    text = console.export_text()
    assert ("works on this computer only" in text) == is_local
    assert ("\u2588" in text) != is_local


def test_a_push_that_is_stopped_tells_what_it_did(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(push: Push) -> None:
        push.report.photos = 3
        push.report.take([make_result("1.jpg")])
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "find_target", lambda: None)
    monkeypatch.setattr(Push, "run", begin)
    assert push_folder(Options(Path("x"), "Свадьба"), as_json=True) == ExitCode.INTERRUPTED
    told = json.loads(capsys.readouterr().out)
    assert (told["photos"], told["unchanged"], told["left"]) == (3, 1, 2)
    push_folder(Options(Path("x"), "Свадьба"), as_json=False)
    assert "Photos    3: 0 sent, 1 unchanged, 2 still to send" in capsys.readouterr().err
