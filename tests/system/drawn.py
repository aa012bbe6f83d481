"""What Hypothesis draws of the network's unkindness, and how many attempts of a client it costs."""

from hypothesis import strategies as st

from system.proxy import Answer, Cut, Delay, Leave, Refuse, RefuseUpgrades, Stall, Tear

MOST_ATTEMPTS = 4
"""Failed attempts of one request that a schedule may cost at most: one below what the client makes."""
WAYS = st.sampled_from(["down", "up"])


def faults(*seconds: float) -> st.SearchStrategy:
    """Draw one act of the network; silences and absences are as long as one of `seconds`."""
    lasting = st.sampled_from(seconds)
    return st.one_of(
        st.builds(Cut, st.sampled_from(["reset", "end"])),
        st.builds(Stall, lasting),
        st.builds(Tear, WAYS, st.integers(1, 3_000)),
        st.builds(Delay, WAYS, st.integers(1, 10), st.sampled_from([0.01, 0.05])),
        st.builds(RefuseUpgrades, st.sampled_from([400, 403, 502]), st.integers(1, 3)),
        st.builds(Answer, st.sampled_from([502, 503]), st.integers(1, 3)),
        st.builds(Refuse, st.integers(1, 3)),
        st.builds(Leave, lasting),
    )


def cost(act: object) -> int:
    """Return how many attempts of one request this act can make fail."""
    match act:
        case Answer(count=count) | Refuse(count=count):
            return count
        case Cut():
            return 1
        case Leave():
            return 2
        case _:
            return 0
