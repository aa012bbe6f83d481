"""The wire, without the wire: what client and server say to each other, and nothing that carries it.

Rules of this room:

- Frames in, facts out; intent in, frames out. No socket, clock, file, thread or await; time and chance are
  arguments.
- Nothing of ours is imported from outside this room.
- Two worlds of error (`errors`): misbehaviour of the peer and misuse by us. Anything else that escapes is a bug.
- What a peer sends is untrusted until decoded: every size, count and depth has a bound, and unknown things are kept or
  named, never lost silently.
"""
