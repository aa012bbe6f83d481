"""One command's sign-in at the server of people, and the session that it keeps."""

from exportctl.client import authority
from exportctl.client.api import Api
from exportctl.client.authority import Credentials
from exportctl.client.http import Server, open_client
from exportctl.client.jar import Jar
from exportctl.client.signin import SignIn, kept_session
from people_server import EMAIL, PASSWORD

ANA = Credentials(email=EMAIL, password=PASSWORD)


PROFILE = "/api/auth/profile"


class Command:
    """One command's client, its sign-in and its API."""

    def __init__(self, people, path=None, credentials=None):
        self.server = Server(url=people.url, correlation_id="c")
        self.http = open_client(self.server)
        self.warnings = []
        self.signin = SignIn(
            http=self.http,
            url=people.url,
            jar=None if path is None else Jar(path=path, url=people.url),
            credentials=credentials,
            hint="exportctl login",
            tell=lambda code, message: self.warnings.append((code, message)),
        )
        self.signin.use()
        self.api = Api(http=self.http, server=self.server, renew=self.signin.renew)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.signin.close()
        await self.http.aclose()

    async def profile(self):
        return await self.api.ask("GET", PROFILE, what="the profile")


async def log_in(people, path):
    async with Command(people) as command:
        email = await authority.sign_in(command.http, people.url, ANA, remember=True)
        jar = Jar(path=path, url=people.url)
        async with jar.locked():
            await jar.write(kept_session(command.http, email, in_keyring=False))
