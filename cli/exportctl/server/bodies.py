"""The JSON that goes over HTTP, as types: mypy holds the routes to them, and the API's description is made of them.

Times are RFC 3339 texts in UTC, sizes are bytes, `progress` is 0 to 100. A key that may be missing says so; all others
are there, null where a value is unknown.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

Whole = Annotated[int, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0, le=100)]


class Refused(TypedDict):
    """Why a request was not done, in English; `code` is for programs, `hint` says what to do.

    `requestId` finds it in the server's log.
    """

    success: Literal[False]
    error: str
    code: str
    hint: NotRequired[str]
    requestId: NotRequired[str]


class Pagination(TypedDict):
    """Which part of a list this is; pages count from 1."""

    page: Whole
    limit: Whole
    total: Whole
    totalPages: Whole


class Counts(TypedDict):
    """Protocol 1's way to count a project's images."""

    images: Whole


class Image(TypedDict):
    """One image of a project; its id is what `selectedImageIds` takes. Null where its header does not say."""

    id: str
    name: str
    fileSize: Whole
    width: Whole | None
    height: Whole | None
    mimeType: str | None
    createdAt: str
    updatedAt: str


class Project(TypedDict):
    """What can be exported. `imageCount` is null while its folder cannot be read; `userId` is who asks."""

    id: str
    title: str
    userId: str
    description: None
    imageCount: Whole | None
    _count: Counts
    createdAt: str | None
    updatedAt: str | None


class WholeProject(Project):
    """A project with its images."""

    images: Sequence[Image]


class Projects(TypedDict):
    """A page of the projects; `data` is protocol 1's name for the same list."""

    success: Literal[True]
    projects: Sequence[Project]
    data: Sequence[Project]
    pagination: Pagination
    message: str


class OneProject(TypedDict):
    """One project; its images are where protocol 1 has them, and nowhere twice: there may be very many."""

    success: Literal[True]
    project: Project
    data: WholeProject
    message: str


class Images(TypedDict):
    """A page of a project's images."""

    images: Sequence[Image]
    pagination: Pagination


class OnePageOfImages(TypedDict):
    """A page of a project's images, as protocol 1's web client asks for them."""

    success: Literal[True]
    data: Images
    message: str


class Format(TypedDict):
    """A format that an export may have."""

    id: str
    name: str
    description: str


class PolygonColors(TypedDict, total=False):
    """Colours like `#ff0000` or `#f00`."""

    external: str | None
    internal: str | None


class VisualizationOptions(TypedDict, total=False):
    """How overlays are drawn."""

    showNumbers: bool | None
    polygonColors: PolygonColors | None
    strokeWidth: Annotated[float, Meta(ge=0, le=100)] | None
    fontSize: Annotated[float, Meta(ge=1, le=500)] | None
    transparency: Annotated[float, Meta(ge=0, le=1)] | None


class Options(TypedDict, total=False):
    """What an export shall contain; what is missing, or null, is the default."""

    includeOriginalImages: bool | None
    includeVisualizations: bool | None
    visualizationOptions: VisualizationOptions | None
    annotationFormats: Sequence[Literal["coco", "yolo", "json"]] | None
    metricsFormats: Sequence[Literal["excel", "csv", "json"]] | None
    includeDocumentation: bool | None
    selectedImageIds: Sequence[Annotated[str, Meta(min_length=1)]] | None
    pixelToMicrometerScale: Annotated[float, Meta(gt=0, le=1_000_000)] | None


class Formats(TypedDict):
    """The formats, and the options as they are where nothing is said."""

    success: Literal[True]
    annotations: Sequence[Format]
    metrics: Sequence[Format]
    options: Mapping[str, Any]


class Start(TypedDict, total=False):
    """What is to be exported."""

    options: Options
    projectName: Annotated[str, Meta(max_length=1000)] | None


class Started(TypedDict):
    """The job that was made, or that an `Idempotency-Key` made before."""

    success: Literal[True]
    jobId: str
    message: str
    lastSeq: Whole


class StageProgress(TypedDict):
    """How far a stage is; `currentItem` is protocol 1's name for `item`."""

    current: Whole
    total: Whole
    item: str | None
    currentItem: str | None


class Archive(TypedDict):
    """A finished archive."""

    fileName: str
    fileSize: Whole
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Failure(TypedDict):
    """Why a job failed."""

    code: str
    message: str
    hint: str | None


StatusName = Literal["pending", "processing", "completed", "failed", "cancelled"]


class Job(TypedDict):
    """A job as it stands. `filePath`, protocol 1's sign that there is an archive, is its name and no path."""

    id: str
    jobId: str
    projectId: str
    userId: str
    status: StatusName
    phase: str
    stage: str | None
    stageProgress: StageProgress | None
    progress: Percent
    message: str
    estimatedTimeRemaining: float | None
    log: str
    lastSeq: Whole
    archive: Archive | None
    filePath: str | None
    expiresAt: str | None
    error: Failure | None
    warnings: Sequence[str]
    createdAt: str
    completedAt: str | None
    options: Mapping[str, Any]
    projectName: str
    correlationId: str


class Cancel(TypedDict, total=False):
    """Why a job is cancelled."""

    reason: Annotated[str, Meta(max_length=1000)] | None


class Cancelling(TypedDict):
    """What became of it: a job that has ended stays as it is."""

    success: Literal[True]
    message: str
    status: Literal["cancelling", "pending", "processing", "completed", "failed", "cancelled"]


class Event(TypedDict):
    """One event of a job's log, as the socket sends it."""

    event: str
    data: Mapping[str, Any]


class Events(TypedDict):
    """A page of a job's log. `gap`: the client counted in another log, so this begins at 1."""

    success: Literal[True]
    events: Sequence[Event]
    log: str
    lastSeq: Whole
    status: StatusName
    gap: bool


class DownloadToken(TypedDict):
    """A token for `…/download?token=`; `expiresAt` is in milliseconds since 1970."""

    token: str
    expiresAt: Whole


class Part(TypedDict):
    """How one part of the server is."""

    status: str


class Health(TypedDict):
    """Whether the server is ready."""

    success: bool
    status: Literal["healthy", "unhealthy"]
    version: str
    protocol: Literal[2]
    parts: Mapping[str, Any]
