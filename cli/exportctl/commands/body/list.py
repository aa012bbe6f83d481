"""List the jobs that this machine knows, and those that the server remembers of a project; once, or as they change."""

from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.listing import Listing, shown
from exportctl.commands.body.memory import open_memory
from exportctl.commands.body.reaching import prune_parked
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings, settings_of
from exportctl.commands.body.watching import Watching
from exportctl.commands.options import Connection, Shared
from exportctl.model.lines import Outcome


def list_jobs(project: str | None, *, watch: bool, shared: Shared, connection: Connection) -> int:
    """Show the jobs, or stay and show what becomes of them; return the exit status."""
    memory = open_memory(shared)

    async def body(session: Session, found: Settings) -> int:
        prune_parked(session)
        listing = Listing(session=session, project=project, connection=connection, settings=found)
        if watch:
            await Watching(listing=listing).run()
            return session.conclude(session.report, Outcome.OK, 0)
        rows = await listing.look()
        for row in rows:
            session.tell(row)
        if rows:
            for line in shown(rows):
                session.say(line)
        else:
            session.say_now("No jobs")
        return session.conclude(session.report, Outcome.OK, 0)

    return conduct("list", shared, lambda: settings_of(connection), body, has_progress=False, memory=memory)
