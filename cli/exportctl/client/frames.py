"""The WebSocket frames of a server, a whole chunk of them at a time (RFC 6455, section 5). Bytes in, messages out.

Nearly all that a server says are plain frames: text, unmasked, in one piece. Those are read here, since wsproto takes
ten times as long for a frame. Everything else is handed to wsproto as it came: control frames, fragments, binary, what
is wrong, and a frame of 64 KiB or more, which need not be whole before it is read. Both take turns at the boundaries
of frames, so the order is the wire's.

- No message beyond the limit is held: a frame is refused by its header, before its payload is taken.
- Behind the end, a close frame or a refusal, nothing is read any more.
- A pong that nobody asked for means nothing (section 5.5.3).
"""

import io
from dataclasses import dataclass
from typing import Final, TypeAlias

from wsproto.connection import Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

Message: TypeAlias = str | bytes

LIMIT: Final = 16 * 2**20
"""The bytes of the largest message that is taken."""

_PLAIN: Final = 0x81  # FIN, no reserved bit, opcode 1
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
_UNMASKED_LENGTH: Final = 0x7F
_OPCODE: Final = 0x0F
_FIRST_CONTROL: Final = 0x08


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Why nothing more comes, in words, and the `code` of the close frame that answers it (section 7.4)."""

    code: int
    words: str


class Frames:
    """Reads the frames that `connection`, a client's, receives; nobody else may hand it bytes.

    `limit` counts the bytes of a message, 64 KiB at least. After every call look at `ping` and at `end`.
    """

    def __init__(self, connection: Connection, *, limit: int = LIMIT) -> None:
        self.end: End | None = None
        self._connection = connection
        self._limit = limit
        self._rest = b""
        self._ping: Ping | None = None
        # wsproto's part: the bytes it still lacks of its frame, and the message that it has told in part.
        self._lacking = 0
        self._text: io.StringIO | None = None
        self._binary: io.BytesIO | None = None
        self._announced = 0

    def receive(self, data: bytes) -> list[Message]:
        """Take what came, however it is cut; return the messages that are whole now."""
        data = self._rest + data if self._rest else data
        messages: list[Message] = []
        at, before = 0, -1
        while at != before and self.end is None:
            before = at
            at = self._read_plain(data, at, messages)
            at = self._hand_on(data, at, messages)
        self._rest = data[at:] if self.end is None else b""
        return messages

    def take_ping(self) -> Ping | None:
        """Return the last ping that was not answered; only that one must be (section 5.5.3)."""
        ping, self._ping = self._ping, None
        return ping

    def _read_plain(self, data: bytes, at: int, messages: list[Message]) -> int:
        """Read plain frames until there is another or none that is whole; return where that begins."""
        if self._lacking or self._is_within_message:
            return at
        size = len(data)
        try:
            while at + 4 <= size and data[at] == _PLAIN:
                length, begin = data[at + 1], at + 2
                if length == _TWO_BYTES:
                    length, begin = data[begin] << 8 | data[begin + 1], at + 4
                    if length < _TWO_BYTES:
                        break  # not the shortest way to say it: wsproto refuses
                elif length >= _EIGHT_BYTES:
                    break  # eight bytes, or masked
                end = begin + length
                if end > size:
                    break
                messages.append(data[begin:end].decode())
                at = end
        except UnicodeDecodeError as error:
            # Section 8.1: fail the connection.
            self._refuse(CloseReason.INVALID_FRAME_PAYLOAD_DATA, f"a text that is no UTF-8 ({error.reason})")
        return at

    def _hand_on(self, data: bytes, at: int, messages: list[Message]) -> int:
        """Hand what there is of another frame to wsproto; return where it ends, `at` itself if more must come first."""
        if self.end is None and not self._lacking:
            self._lacking = self._size_of_other(data, at)
        piece = data[at : at + self._lacking] if self.end is None else b""
        if piece:
            self._lacking -= len(piece)
            self._connection.receive_data(piece)
            for event in self._connection.events():
                self._take(event, messages)
        return at + len(piece)

    def _size_of_other(self, data: bytes, at: int) -> int:
        """Return the size of the frame at `at`, header included, if it is wsproto's; 0 while that is not known."""
        if len(data) < at + 2:
            return 0
        opcode, length = data[at] & _OPCODE, data[at + 1] & _UNMASKED_LENGTH
        begin = at + 2 + {_TWO_BYTES: 2, _EIGHT_BYTES: 8}.get(length, 0)
        if len(data) < begin:
            return 0
        if begin > at + 2:
            length = int.from_bytes(data[at + 2 : begin])
        if opcode < _FIRST_CONTROL:
            announced = length + (self._announced if self._is_within_message else 0)
            if announced > self._limit:
                # Section 10.4: "impose limits … on the total message size after reassembly".
                self._refuse(CloseReason.MESSAGE_TOO_BIG, f"a message of more than {self._limit} bytes")
                return 0
            is_plain = data[at] == _PLAIN and data[at + 1] <= _TWO_BYTES and begin + length > len(data)
            if is_plain and not self._is_within_message and (length >= _TWO_BYTES or begin == at + 2):
                return 0  # it is read here once it is whole
            self._announced = announced
        return begin - at + length

    @property
    def _is_within_message(self) -> bool:
        return self._text is not None or self._binary is not None

    def _take(self, event: Event, messages: list[Message]) -> None:
        match event:
            case TextMessage():
                self._text = self._text or io.StringIO()
                self._text.write(event.data)
                if event.message_finished:
                    messages.append(self._text.getvalue())
                    self._text = None
            case BytesMessage():
                self._binary = self._binary or io.BytesIO()
                self._binary.write(event.data)
                if event.message_finished:
                    messages.append(self._binary.getvalue())
                    self._binary = None
            case Ping():
                self._ping = event
            case CloseConnection(code=code) if self._connection.state is ConnectionState.REMOTE_CLOSING:
                self.end = End(code=code, words=f"the socket was closed ({int(code)})")
            case CloseConnection(code=code, reason=reason):
                self._refuse(code, reason or "no reason")
            case _:
                pass

    def _refuse(self, code: int, what: str) -> None:
        """Read nothing more: "Fail the WebSocket Connection" (section 7.1.7)."""
        self.end = End(code=code, words=f"the server breaks the WebSocket protocol: {what}")
