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


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_a_guess_or_left_over(language):
    """Babel marks a guess as fuzzy, which gettext leaves out, and keeps what the code does not say any more."""
    found = catalogs.catalog(language)
    assert [message.id for message in found if message.id and message.fuzzy] == []
    assert list(found.obsolete) == []
    for message in found:
        assert not message.pluralizable or len(set(message.string)) <= found.num_plurals == len(message.string)


FORMS = {
    "warning": {
        "en": "0 warnings, 1 warning, 2 warnings, 5 warnings, 21 warnings",
        "cs": "0 varování, 1 varování, 2 varování, 5 varování, 21 varování",
        "de": "0 Warnungen, 1 Warnung, 2 Warnungen, 5 Warnungen, 21 Warnungen",
        "es": "0 advertencias, 1 advertencia, 2 advertencias, 5 advertencias, 21 advertencias",
        "fr": "0 avertissement, 1 avertissement, 2 avertissements, 5 avertissements, 21 avertissements",
        "zh": "0 条警告, 1 条警告, 2 条警告, 5 条警告, 21 条警告",
    },
    "more job": {
        "en": "0 more jobs, 1 more job, 2 more jobs, 5 more jobs, 21 more jobs",
        "cs": "0 dalších úloh, 1 další úloha, 2 další úlohy, 5 dalších úloh, 21 dalších úloh",
        "de": "0 weitere Aufträge, 1 weiterer Auftrag, 2 weitere Aufträge, 5 weitere Aufträge, 21 weitere Aufträge",
        "es": "0 trabajos más, 1 trabajo más, 2 trabajos más, 5 trabajos más, 21 trabajos más",
        "fr": "0 autre tâche, 1 autre tâche, 2 autres tâches, 5 autres tâches, 21 autres tâches",
        "zh": "另有 0 个任务, 另有 1 个任务, 另有 2 个任务, 另有 5 个任务, 另有 21 个任务",
    },
    "more message": {
        "en": "0 more messages, 1 more message, 2 more messages, 5 more messages, 21 more messages",
        "cs": "0 dalších zpráv, 1 další zpráva, 2 další zprávy, 5 dalších zpráv, 21 dalších zpráv",
        "de": "0 weitere Nachrichten, 1 weitere Nachricht, 2 weitere Nachrichten, 5 weitere Nachrichten, "
        "21 weitere Nachrichten",
        "es": "0 mensajes más, 1 mensaje más, 2 mensajes más, 5 mensajes más, 21 mensajes más",
        "fr": "0 autre message, 1 autre message, 2 autres messages, 5 autres messages, 21 autres messages",
        "zh": "另有 0 条消息, 另有 1 条消息, 另有 2 条消息, 另有 5 条消息, 另有 21 条消息",
    },
    "more remark": {
        "en": "0 more remarks, 1 more remark, 2 more remarks, 5 more remarks, 21 more remarks",
        "cs": "0 dalších poznámek, 1 další poznámka, 2 další poznámky, 5 dalších poznámek, 21 dalších poznámek",
        "de": "0 weitere Hinweise, 1 weiterer Hinweis, 2 weitere Hinweise, 5 weitere Hinweise, 21 weitere Hinweise",
        "es": "0 observaciones más, 1 observación más, 2 observaciones más, 5 observaciones más, 21 observaciones más",
        "fr": "0 autre remarque, 1 autre remarque, 2 autres remarques, 5 autres remarques, 21 autres remarques",
        "zh": "另有 0 条提示, 另有 1 条提示, 另有 2 条提示, 另有 5 条提示, 另有 21 条提示",
    },
    "more": {
        "en": "0 more, 1 more, 2 more, 5 more, 21 more",
        "cs": "0 dalších, 1 další, 2 další, 5 dalších, 21 dalších",
        "de": "0 weitere, 1 weitere, 2 weitere, 5 weitere, 21 weitere",
        "es": "0 más, 1 más, 2 más, 5 más, 21 más",
        "fr": "0 autre, 1 autre, 2 autres, 5 autres, 21 autres",
        "zh": "另有 0 项, 另有 1 项, 另有 2 项, 另有 5 项, 另有 21 项",
    },
}
"""What is said of 0, 1, 2, 5 and 21, behind the language's "and"."""
AND = {"en": "and ", "cs": "a ", "de": "und ", "es": "y ", "fr": "et ", "zh": ""}
PLURALS = {
    one.removeprefix("and ").removeprefix("{count} "): (one, many)
    for one, many in (text for text in TEXTS if isinstance(text, tuple))
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("what", sorted(PLURALS))
def test_plural_forms_are_those_of_the_language(language, what):
    one, many = PLURALS[what]
    prefix = AND[language] if one.startswith("and ") else ""
    assert forms(language, one, many) == [prefix + form for form in FORMS[what][language].split(", ")]


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
