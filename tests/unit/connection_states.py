"""The connection machine in each of its states, and the frames that lead there."""

from exportctl.protocol.connection import Connection
from exportctl.protocol.lifecycle import State

OPEN = '0{"sid":"eio","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'


CONNECT = '40{"sid":"sio"}'


ATTACHED = '451-["blob",{"_placeholder":true,"num":0}]'


def opening():
    return Connection()


def connecting(**how):
    connection = Connection(**how)
    connection.receive_text(OPEN)
    connection.data_to_send()
    return connection


def connected(**how):
    connection = connecting(**how)
    connection.receive_text(CONNECT)
    return connection


def left():
    connection = connected()
    connection.receive_text("41")
    return connection


def closed():
    connection = connected()
    connection.receive_text("1")
    return connection


MAKERS = {
    State.OPENING: opening,
    State.CONNECTING: connecting,
    State.CONNECTED: connected,
    State.LEFT: left,
    State.CLOSED: closed,
}


def give(connection, frame):
    return connection.receive_text(frame) if isinstance(frame, str) else connection.receive_bytes(frame)
