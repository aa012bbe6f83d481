"""A sign-in that is refused, or a session that could not be used: said in words, and never with the password."""

import httpx
import pytest

from exportctl.client import authority
from exportctl.client.signin import cookie_jar
from exportctl.model.errors import NotAllowed, Rejected, Unreachable
from people_server import PASSWORD
from signed_in import ANA, Command


async def test_a_session_that_may_not_be_sent_over_http_is_explained():
    def answer(_request):
        cookie = "access_token=geheim; Path=/; HttpOnly; Secure"
        return httpx.Response(200, json={"success": True, "data": {}}, headers={"Set-Cookie": cookie})

    async with httpx.AsyncClient(base_url="http://export.example.org", transport=httpx.MockTransport(answer)) as http:
        http.cookies = cookie_jar("http://export.example.org")
        with pytest.raises(NotAllowed, match="https only") as caught:
            await authority.sign_in(http, "http://export.example.org", ANA, remember=True)
    assert "https://export.example.org" in caught.value.hint


@pytest.mark.parametrize(
    ("answer", "kind", "words", "hint"),
    [
        ((401, {"error": "Neplatné přihlašovací údaje"}, {}), NotAllowed, "wrong email or password", "login"),
        ((429, {"error": "x"}, {"Retry-After": "420"}), NotAllowed, "too many attempts", "in 7 minutes"),
        ((429, {"error": "x"}, {"Retry-After": "5"}), NotAllowed, "too many attempts", "in 5 s"),
        ((429, {"error": "x"}, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}), NotAllowed, "too many", "in 0 s"),
        ((429, {}, {"Retry-After": "soon"}), NotAllowed, "too many attempts", "later"),
        ((404, {}, {}), NotAllowed, "knows no sign-in", "--token-file"),
        ((403, {"error": f"no: {PASSWORD}"}, {}), NotAllowed, "in words that hold the password", None),
        ((302, {}, {"Location": "https://x.example/"}), Unreachable, "sends us on", "--server https://x.example"),
        ((200, {"success": True}, {}), NotAllowed, "gave no session", "--token-file"),
        (
            (400, {"error": "Validation error", "details": {"email": ["Neplatná"]}}, {}),
            Rejected,
            "email: Neplatná",
            None,
        ),
        ((500, {"error": "Interní chyba serveru"}, {}), httpx.HTTPError, "500", None),
    ],
)
async def test_every_refusal_of_a_sign_in_has_its_words_and_no_password(people, answer, kind, words, hint):
    people.sign_in_answer = answer
    async with Command(people) as command:
        with pytest.raises(kind, match=words) as caught:
            await authority.sign_in(command.http, people.url, ANA, remember=False)
    assert PASSWORD not in f"{caught.value} {getattr(caught.value, 'hint', '')} {ANA}"
    assert hint is None or hint in caught.value.hint
