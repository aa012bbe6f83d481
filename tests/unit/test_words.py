"""What people read is in their language, with the right forms for numbers, and nothing is missing."""

import re
import string

import pytest

from exportctl.commands import catalogs
from exportctl.model.lines import ExportProgress, Outcome, Result
from exportctl.model.words import LANGUAGES, TEMPLATES, counted, language_of, of_template, said
from exportctl.output import amounts, ending, rows
from exportctl.output.layout import fit
from exportctl.output.safe import width_at_most
from exportctl.output.speaking import speak
from exportctl.output.views import Views
from exportctl.protocol.dialects import dialect1
from exportctl.protocol.events import StageProgress

OTHERS = LANGUAGES[1:]
TEXTS = catalogs.extracted()


@pytest.fixture(autouse=True)
def _english_again():
    yield
    speak("en")


def forms(language, one, many):
    speak(language)
    return [counted(one, many, number) for number in (0, 1, 2, 5, 21)]


@pytest.mark.parametrize("language", OTHERS)
def test_the_shipped_catalog_is_what_was_written(language):
    path = catalogs.source(language).with_suffix(".mo")
    assert path.read_bytes() == catalogs.compiled()[path], "run: python -m exportctl.commands.prepare"


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_of_the_code_stands_in_every_catalog_and_no_other(language):
    written = {message.id for message in catalogs.catalog(language) if message.id}
    assert written == set(TEXTS)


def names(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", OTHERS)
def test_every_translation_says_something_and_has_the_same_gaps(language):
    for message in catalogs.catalog(language):
        if message.id:
            originals, told = (
                (entry if isinstance(entry, tuple | list) else (entry,)) for entry in (message.id, message.string)
            )
            for text in told:
                assert text.strip(), message.id
                assert names(text) == names(originals[0])
                assert "\n" not in text


def test_plural_forms_are_those_of_the_language():
    one, many = "{count} warning", "{count} warnings"
    assert forms("en", one, many) == ["0 warnings", "1 warning", "2 warnings", "5 warnings", "21 warnings"]
    assert forms("de", one, many) == ["0 Warnungen", "1 Warnung", "2 Warnungen", "5 Warnungen", "21 Warnungen"]
    assert forms("fr", one, many)[:3] == ["0 avertissement", "1 avertissement", "2 avertissements"]
    assert forms("zh", one, many) == ["0 条警告", "1 条警告", "2 条警告", "5 条警告", "21 条警告"]
    jobs = ["a 0 dalších úloh", "a 1 další úloha", "a 2 další úlohy", "a 5 dalších úloh", "a 21 dalších úloh"]
    assert forms("cs", "and {count} more job", "and {count} more jobs") == jobs
    assert forms("es", one, many)[1:3] == ["1 advertencia", "2 advertencias"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_is_said_in_every_language(language):
    speak(language)
    told = {of_template(template, {"current": 1, "total": 2, "fileName": "a"}) for template in TEMPLATES}
    assert len(told) == len(TEMPLATES)
    assert language == "en" or said("Processing") != "Processing"


@pytest.mark.parametrize(
    ("template", "data"),
    [
        (None, None),
        ("export.stage.dreams", {"current": 1, "total": 2}),
        ("export.stage.images", {}),
        ("export.stage.images", None),
        ("export.stage.images", {"current": "1", "total": None}),
    ],
)
def test_an_unknown_template_and_one_without_its_data_say_nothing(template, data):
    assert of_template(template, data) is None


def shown(**more):
    views = Views(monotonic=lambda: 0.0)
    views.update(ExportProgress(job_id="j", phase="processing", progress=5.0, **more))
    return [piece.text for piece in rows.processing(views.by_id["j"], 0.0).words]


def test_a_bar_says_what_happens_in_the_language_and_else_in_the_server_s_words():
    speak("cs")
    counts = {"current": 5, "total": 12, "fileName": "cell.png"}
    known = {"stage": "images", "template": "export.stage.images", "message": "Copying (5/12)"}
    assert shown(**known, data=counts)[0] == "Kopírování původních snímků"
    assert shown(**known, data={})[0] == "Copying (5/12)"
    assert shown(stage="dreams", template="export.stage.dreams", data={}, message="Dreaming")[0] == "Dreaming"
    assert shown(stage="dreams")[0] == "dreams"


def test_the_stages_of_protocol_1_are_said_in_the_same_words():
    speak("de")
    counted_stage = StageProgress(current=5, total=12, item=None)
    template, data = dialect1.template_of("visualizations", counted_stage)
    assert shown(stage="visualizations", template=template, data=data)[0] == "Visualisierungen werden erstellt"


def test_numbers_are_written_as_the_language_writes_them():
    speak("de")
    assert (amounts.size(1_230_000), amounts.duration(3.25)) == ("1,23 MB", "3,2 s")
    speak("zh")
    assert amounts.size(1_230_000) == "1.23 MB"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("columns", [24, 80, 200])
def test_both_bars_begin_at_the_same_place_and_fit_every_window(language, columns):
    speak(language)
    views = Views(monotonic=lambda: 0.0)
    views.update(ExportProgress(job_id="j", phase="processing", progress=5.0, stage="images"))
    views.update(Result(job_id="j", outcome=Outcome.COMPLETED, exit_code=0, bytes=5, verified=True))
    view = views.by_id["j"]
    frames = [fit(half(view, 0.0), columns) for half in (rows.processing, rows.downloading)]
    assert len({width_at_most(frame.head) for frame in frames}) == 1
    assert all(width_at_most(frame.head) + frame.cells + width_at_most(frame.tail) <= columns for frame in frames)
    assert ending.standing(view, 0.0)


@pytest.mark.parametrize(
    ("option", "variables", "language"),
    [
        (None, {}, "en"),
        (None, {"LANG": "cs_CZ.UTF-8"}, "cs"),
        (None, {"LANG": "cs_CZ.UTF-8", "LC_MESSAGES": "fr_FR"}, "fr"),
        (None, {"LANG": "cs_CZ.UTF-8", "LC_MESSAGES": "fr_FR", "LC_ALL": "de"}, "de"),
        (None, {"LC_ALL": "C", "LANG": "cs_CZ"}, "en"),
        (None, {"LC_ALL": "", "LANG": "cs_CZ"}, "cs"),
        (None, {"EXPORTCTL_LANG": "es", "LC_ALL": "de"}, "es"),
        (None, {"LANG": "pl_PL.UTF-8"}, "en"),
        ("zh-Hans-CN", {"LC_ALL": "de"}, "zh"),
        ("EN_us", {"LANG": "de"}, "en"),
        ("ca@valencia", {}, None),
        ("klingon", {"LANG": "de"}, None),
    ],
)
def test_the_option_comes_before_the_environment_and_each_variable_before_the_next(option, variables, language):
    assert language_of(option, variables.get) == language


def test_no_text_for_people_is_written_with_its_gaps_unfilled():
    for language in LANGUAGES:
        speak(language)
        warnings = forms(language, "{count} warning", "{count} warnings")
        for line in (amounts.duration(75), said("done in {time}", time="1 s"), *warnings):
            assert not re.search(r"[{}]", line)
