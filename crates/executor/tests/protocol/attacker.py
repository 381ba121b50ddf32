#!/usr/bin/python3 -I
"""A hook that has been taken over: tries what it should not be able to do, and prints what it could.

Nothing of it changes anything where it succeeds.
"""
import ctypes, json, os, socket, sys

PID, ADDRESS, OTHER, STATE, PASSWORD, TARGET = sys.argv[1:7]
WRITABLE = os.O_WRONLY


def read(path):
    with open(path, "rb") as file:
        return file.read(1) != b"" or 1 / 0


def write(path):
    os.close(os.open(path, WRITABLE))


def connect(address):
    host, port = address.split(":")
    socket.create_connection((host, int(port)), 5).close()


def trace(pid):
    """PTRACE_SEIZE, ptrace(2): ends with this process."""
    if ctypes.CDLL(None).ptrace(0x4206, int(pid), 0, 0):
        raise OSError


ATTEMPTS = {
    "own-key": lambda: read(os.environ["PHOENIX_KEY_PATH"]),
    "other-key": lambda: read(OTHER),
    "state": lambda: os.listdir(STATE)[0],
    "state-elsewhere": lambda: os.listdir(f"/proc/{PID}/root{STATE}")[0],
    "password": lambda: read(PASSWORD),
    "write-etc": lambda: write("/etc/passwd"),
    "write-target": lambda: write(TARGET),
    "tcp": lambda: connect(ADDRESS),
    "ptrace": lambda: trace(PID),
    "environment": lambda: read(f"/proc/{PID}/environ"),
    "signal": lambda: os.kill(int(PID), 0),
}


def could(attempt):
    try:
        attempt()
        return True
    except Exception:
        return False


print(json.dumps({name: could(attempt) for name, attempt in ATTEMPTS.items()}))
