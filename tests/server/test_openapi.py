"""The API's description: it is OpenAPI, it holds every route, and every route answers as it says, whatever is asked."""

import contextlib
import os

import hypothesis
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from exportctl.server import security
from exportctl.server.app import open_app
from exportctl.server.contract import Endpoint
from server.beside import serving_beside
from server.conftest import TOKEN, write_images

EXAMPLES = int(os.environ.get("EXPORTCTL_FUZZ", "3"))
"""Right and wrong requests of each operation, so many of each."""
OF_HTTP = {"connection", "date", *(name.lower() for name in security.HEADERS)}
OF_HTTP |= {f"content-{name}" for name in ("length", "type")} | {"transfer-encoding"}
"""Headers that say nothing of what was asked for."""
NOT_OF_THE_API = {"/", "/page/{name:path}"}


@pytest.fixture
def url(settings_for, tmp_path):
    settings = settings_for(write_images(tmp_path / "small", 1), people=True, workers=1, jobs_per_user=3)
    with serving_beside(settings) as found:
        yield found


def test_the_description_is_openapi_and_its_schemas_are_schemas(url):
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    assert schema.raw_schema["openapi"] == "3.1.0"
    schema.validate()
    for body in schema.raw_schema["components"]["schemas"].values():
        jsonschema_rs.meta.validate(body)


async def test_every_route_is_described_or_known_to_be_no_api(settings_for, cells, monkeypatch):
    made = []
    monkeypatch.setattr("exportctl.server.app.Starlette", lambda routes, **_: made.extend(routes))
    settings = settings_for(cells, people=True)
    (settings.state / "jobs").mkdir(parents=True)
    async with open_app(settings):
        pass
    assert {route.path for route in made if not isinstance(route, Endpoint)} <= NOT_OF_THE_API
    assert sum(isinstance(route, Endpoint) for route in made) > 20


def test_every_operation_answers_as_described_whatever_is_asked(url, subtests):
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    project, job = a_project_and_a_job(schema)
    for result in schema.get_all_operations():
        operation = result.ok()
        with subtests.test(operation.label):
            known = {"project": project, "job": job, "token": "nobody"}
            asking(operation, schemathesis.GenerationMode.POSITIVE, known)()
            with contextlib.suppress(Unsatisfiable):  # where it takes nothing that could be wrong
                asking(operation, schemathesis.GenerationMode.NEGATIVE, known)()


def headers():
    return {"Authorization": f"Bearer {TOKEN}"}


def a_project_and_a_job(schema):
    project = schema["/api/projects"]["GET"].Case().call(headers=headers()).json()["projects"][0]["id"]
    start = schema["/api/projects/{project}/export"]["POST"].Case(path_parameters={"project": project}, body={})
    job = start.call(headers=headers()).json()["jobId"]
    events = schema["/api/export/{job}/events"]["GET"].Case(path_parameters={"job": job}, query={"wait": 30})
    while events.call(headers=headers()).json()["status"] != "completed":
        events.query["after"] = events.call(headers=headers()).json()["lastSeq"]
    return project, job


def asking(operation, mode, known):
    """Ask an operation for things that its description allows, or that it does not; some of them of what is there."""

    @hypothesis.seed(7)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(
        case=operation.as_strategy(generation_mode=mode), is_known=st.booleans(), is_signed_in=st.integers(0, 9)
    )
    def ask(case, is_known, is_signed_in):
        if is_known:
            case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
        response = case.call(headers=headers() if is_signed_in else {})
        # What is asked for rightly may still not be there: 412, 422.
        case.validate_response(response, excluded_checks=[schemathesis.checks.positive_data_acceptance])
        told = operation.definition.raw["responses"][str(response.status_code)]["headers"]
        assert set(response.headers) - OF_HTTP <= {name.lower() for name in told}

    return ask
