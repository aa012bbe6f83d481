"""Counting and telling: progress that never falls, ten events a second, the last of each stage always."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from exportctl.server.progress import Reporter, Tally

STAGES = ["images", "visualizations", "annotations", "metrics", "compression"]


class RememberingJournal:
    """A journal that keeps what it is told."""

    def __init__(self):
        self.told = []

    async def tell(self, _name, data, **changes):
        await asyncio.sleep(0)
        assert changes["progress"] == data["progress"]
        self.told.append(data)


def told_of(totals, advances, *, pause_after=()):
    """Count as `advances` say; returns the events that were told."""

    async def main():
        journal, ticks = RememberingJournal(), asyncio.Semaphore(0)
        tally = Tally(totals)

        async def sleep(_seconds):
            await ticks.acquire()

        reporter = Reporter(journal, tally, interval=0.1, left=lambda: 41.26, written=lambda: 7, sleep=sleep)
        telling = asyncio.create_task(reporter.tell())
        for number, (stage, images) in enumerate(advances):
            reporter.advance(stage, images, f"{stage} {number}")
            if number in pause_after:
                ticks.release()
                for _ in range(20):
                    await asyncio.sleep(0)
        reporter.close()
        for _ in range(len(advances) + 2):
            ticks.release()
        await telling
        return journal.told

    return asyncio.run(main())


@given(data=st.data(), totals=st.dictionaries(st.sampled_from(STAGES), st.integers(1, 20), min_size=1))
def test_every_stage_is_told_to_its_end_and_progress_never_falls(data, totals):
    """Invariant: whatever the order of work and the pace of telling."""
    work = data.draw(st.permutations([stage for stage, total in totals.items() for _ in range(total)]))
    pauses = data.draw(st.sets(st.integers(0, len(work))))
    told = told_of(totals, [(stage, 1) for stage in work], pause_after=pauses)
    assert {event["stage"] for event in told if event["stageProgress"]["current"] == totals[event["stage"]]} == set(
        totals
    )
    progress = [event["progress"] for event in told]
    assert progress == sorted(progress)
    assert progress[0] >= 0
    assert progress[-1] == 100
    for stage in totals:
        counts = [event["stageProgress"]["current"] for event in told if event["stage"] == stage]
        assert counts == sorted(set(counts))


def test_a_flood_of_work_is_a_few_events():
    told = told_of({"images": 10_000}, [("images", 1)] * 10_000)
    assert len(told) <= 3
    assert told[-1]["stageProgress"] == {
        "current": 10_000,
        "total": 10_000,
        "item": "images 9999",
        "currentItem": "images 9999",
    }


def test_stages_take_turns_when_all_have_news():
    totals = dict.fromkeys(STAGES[:3], 100)
    advances = [(stage, 1) for _ in range(6) for stage in totals]
    told = told_of(totals, advances, pause_after=range(2, 18, 3))
    assert {event["stage"] for event in told[:4]} == set(totals)


def test_the_message_is_the_one_of_the_wire():
    (event,) = told_of({"visualizations": 50}, [("visualizations", 50)])
    assert event["message"] == "Generating visualizations (50/50): visualizations 0"
    assert (event["template"], event["bytesWritten"]) == ("export.stage.visualizations", 7)
    assert event["estimatedTimeRemaining"] == 41.3
    assert event["data"] == {"current": 50, "total": 50, "fileName": "visualizations 0"}


def test_more_work_than_was_foreseen_is_never_more_than_all():
    tally = Tally({"images": 3, "metrics": 3})
    assert tally.advance("images", 5, "x").current == 3
    assert tally.progress() < 100
