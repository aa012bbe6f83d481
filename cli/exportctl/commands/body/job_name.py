"""`JOB` on the command line: `PROJECT/JOB`, or a job's id that the server can look up."""

from exportctl.client.api import Api, JobStatus
from exportctl.model.errors import NotFound, Usage


async def find_job(api: Api, text: str) -> JobStatus:
    """Return the job as the server sees it; its `project_id` is known. Raises `NotFound`, `Usage`."""
    project_id, slash, job_id = text.rpartition("/")
    if text.startswith("@"):
        raise Usage(f"{text}: this machine keeps no jobs yet", hint="name the job as PROJECT/JOB")
    if slash and not (project_id and job_id):
        raise Usage(f"{text!r} names no job", hint="PROJECT/JOB, as exportctl start prints it")
    status = await api.status(project_id or None, job_id)
    if status.project_id is None:
        raise NotFound(f"the server does not say which project job {job_id} is of", hint="name it as PROJECT/JOB")
    return status
