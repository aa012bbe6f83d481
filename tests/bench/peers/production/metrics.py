"""The backend's service for metrics alone, without its models: `uvicorn metrics:app` in the folder of its service."""

import sys
from pathlib import Path

from fastapi import FastAPI

sys.path.insert(0, str(Path.cwd()))

from api.metrics_endpoint import router

app = FastAPI()
app.include_router(router)
