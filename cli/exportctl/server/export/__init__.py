"""The image work of an export: a folder read as a project, and the pool tasks that make the files of the archive.

Rules of the room: `options` and `tasks` are what the engine sees, and importing them loads no image library; everything
else runs in worker processes. A task reads the source folder and the plan file, writes only under the job's parts
folder (one name for each output, written aside and renamed into place), and can run twice. Nothing here knows of HTTP,
sockets, event logs or the archive. A fault in one image or one polygon file is a warning that names it, never the end
of the job.
"""
