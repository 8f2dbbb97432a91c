"""Runs a command under the restrictions of a unit file that a test can have without systemd being process 1:
its system call filter, address families, MemoryDenyWriteExecute and NoNewPrivileges.

    filtered.py UNIT COMMAND...
"""
import ctypes
import errno
import os
import re
import socket
import subprocess
import sys

import seccomp

PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN = 38, 65, 1


def calls_of(names):
    found = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        listed = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True)
        found |= calls_of(line.strip() for line in listed.stdout.split("\n")[1:] if line.strip() and "#" not in line)
    return found


def filters(unit):
    allowed = calls_of(["@default"])
    for words in re.findall(r"^SystemCallFilter=(.*)$", open(unit).read(), re.M):
        if words.startswith("~"):
            allowed -= calls_of(words[1:].split())
        else:
            allowed |= calls_of(words.split())
    return allowed


def prctl(*arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(*[ctypes.c_ulong(a) for a in arguments]):
        raise OSError(ctypes.get_errno(), f"prctl({arguments})")


def families(unit):
    named = re.search(r"^RestrictAddressFamilies=(.*)$", open(unit).read(), re.M)[1].split()
    return [int(getattr(socket, name)) for name in named]


unit, command = sys.argv[1], sys.argv[2:]
allowed = filters(unit)
filter_ = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
for name in sorted(allowed - {"socket"}):
    try:
        filter_.add_rule(seccomp.ALLOW, name)
    except (RuntimeError, ValueError):
        pass  # this machine does not have it
for family in families(unit):
    filter_.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, family))
prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
try:
    prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
except OSError as e:  # before Linux 6.3
    print(f"filtered.py: without MemoryDenyWriteExecute: {e}", file=sys.stderr)
filter_.load()
os.execvp(command[0], command)
