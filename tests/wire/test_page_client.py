"""The page's scripts in Node: its copy of the official client, and what it makes of events."""

import json
import subprocess
from pathlib import Path

import exportctl
from wire.conftest import HERE

PAGE = Path(exportctl.__file__).parent / "server" / "page"


def test_the_page_carries_the_official_client_byte_for_byte(node):
    assert node
    published = HERE / "node_modules" / "socket.io-client"
    vendored = PAGE / "vendor"
    name = "socket.io.esm.min.js"
    assert (vendored / name).read_bytes() == (published / "dist" / name).read_bytes()
    assert (vendored / "socket.io-client.LICENSE.txt").read_bytes() == (published / "LICENSE").read_bytes()


STORY = """
const { fromStatus, place, after, hasEnded } = await import(process.argv[1]);
const told = (seq, name, data = {}) => ["export:" + name, { jobId: "j", seq, ...data }];
const step = (seq, progress) =>
  told(seq, "progress", { progress, stage: "images", stageProgress: { current: seq, total: 9 }, message: "" });
const story = [told(1, "started", { projectName: "p" }), step(2, 40), step(3, 20), step(4, 60), told(5, "completed")];
const take = (job, [name, data]) => (place(job, data) === "next" ? after(job, name, data) : job);
const status = { id: "j", status: "pending", lastSeq: 0, progress: 0, log: "l", options: {} };
const once = story.reduce(take, fromStatus(status));
const again = [...story.slice(0, 3), ...story.slice(1), ...story].reduce(take, fromStatus(status));
const torn = [story[0], story[2], story[4]].reduce(take, fromStatus(status));
const highest = story.slice(0, 3).reduce(take, fromStatus(status)).progress;
console.log(JSON.stringify({
  same: JSON.stringify(once) === JSON.stringify(again),
  end: [once.seq, once.status, hasEnded(once)],
  torn: [torn.seq, torn.status, place(torn, story[2][1])],
  highest,
}));
"""


def test_the_page_takes_each_event_once_and_in_order_and_notices_what_is_missing(node):
    command = [node, "--input-type=module", "-e", STORY, (PAGE / "job.js").as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(run.stdout) == {
        "same": True,
        "end": [5, "completed", True],
        "torn": [1, "processing", "gap"],
        "highest": 40,
    }
