"""Each hardening directive of each unit, shown to hold something back in the kind of unit it stands in.

A probe runs twice as a transient unit of the same manager, without the directive and with it, and must end differently.
What cannot be told apart there is no protection and does not stand in the unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from agent.service.unit_files import template
from service.boot import Booted, booted, missing

pytestmark = [pytest.mark.long, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

PYTHON = "/usr/bin/python3"

PLAIN = re.compile(
    "Type|NotifyAccess|Exec.*|Restart|RestartSec|WatchdogSec|Timeout.*|KillMode|User|Environment|EnvironmentFile"
    "|StateDirectory.*|LoadCredential|SystemCallErrorNumber"
)
"""Directives that hold nothing back."""


def python(code: str) -> tuple[str, ...]:
    return (PYTHON, "-c", f"import ctypes, mmap, os, socket; libc = ctypes.CDLL(None, use_errno=True)\n{code}")


def without_capability(bit: int) -> tuple[str, ...]:
    """Ends well while this capability is in the bounding set."""
    return python(
        "bounds = next(line for line in open('/proc/self/status') if line.startswith('CapBnd')).split()[1]\n"
        f"raise SystemExit(not int(bounds, 16) >> {bit} & 1)"
    )


ANY_FAMILY = (
    "done = 0\n"
    "for family in (38, 40, 9, 16, 31):\n"  # the kernel's crypto, virtual sockets, X.25 and others no agent speaks
    "    try: socket.socket(family, socket.SOCK_SEQPACKET if family == 38 else socket.SOCK_STREAM).close(); done = 1\n"
    "    except OSError: pass\n"
    "raise SystemExit(not done)"
)

PROBES: dict[str, tuple[str, ...]] = {
    "CapabilityBoundingSet": without_capability(0),
    "LockPersonality": python("raise SystemExit(libc.personality(0x0040000) == -1)"),
    "MemoryDenyWriteExecute": python("mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)"),
    "NoNewPrivileges": ("grep", "-q", "NoNewPrivs:.*0", "/proc/self/status"),
    "PrivateDevices": ("sh", "-c", "find /dev/ -type b | grep -q ."),
    "PrivateTmp": ("test", "-e", "/tmp/seen"),
    "PrivateUsers": ("grep", "-q", "4294967295", "/proc/self/uid_map"),
    "ProcSubset": ("test", "-e", "/proc/cpuinfo"),
    "ProtectClock": without_capability(25),
    "ProtectControlGroups": ("sh", "-c", "mkdir /sys/fs/cgroup/probe && rmdir /sys/fs/cgroup/probe"),
    "ProtectHome": ("ls", "/home/ada"),
    "ProtectHostname": python("raise SystemExit(libc.sethostname(b'probe', 5) != 0)"),
    "ProtectKernelLogs": without_capability(34),
    "ProtectKernelModules": without_capability(16),
    "ProtectKernelTunables": ("test", "-w", "/proc/sys/vm/swappiness"),
    "ProtectProc": ("setpriv", "--reuid=ada", "--regid=ada", "--clear-groups", "test", "-e", "/proc/1/status"),
    "ProtectSystem": ("sh", "-c", "touch /usr/probe && rm /usr/probe"),
    "RestrictAddressFamilies": python(ANY_FAMILY),
    "RestrictNamespaces": ("unshare", "-U", "true"),
    "RestrictRealtime": python(
        "try: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(0))\n"
        "except OSError as error: raise SystemExit(error.errno != 22)"  # a priority that is none, had it been looked at
    ),
    "RestrictSUIDSGID": python("open('/tmp/probe', 'w').close(); os.chmod('/tmp/probe', 0o4700)"),
    "SystemCallArchitectures": python("libc.syscall(0x40000000 | 39)"),
    "SystemCallFilter": python("raise SystemExit(libc.ptrace(0, 0, 0, 0) == -1)"),
    "SystemCallFilter=~@privileged @resources": python("os.nice(1)"),
    "UMask": ("sh", "-c", "umask | grep -q 0022"),
}


def directives(unit: str) -> list[str]:
    """The hardening lines of a unit."""
    service = template(unit).partition("\n[Service]\n")[2].partition("\n[Install]\n")[0]
    lines = re.findall(r"^[A-Z]\w*=.*$", service, re.MULTILINE)
    return [line for line in lines if not PLAIN.fullmatch(line.partition("=")[0])]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """A booted system with a person who has a systemd of their own."""
    with booted(tmp_path_factory.mktemp("machine")) as found:
        found.add_person("ada")
        found.run("touch", "/tmp/seen")
        yield found


def works(machine: Booted, unit: str, probe: tuple[str, ...], *properties: str) -> bool:
    """Whether the probe ends well as a transient unit with these properties."""
    flags = [f"--property={one}" for one in properties]
    own = unit == "raven-agent.service"
    command = ["systemd-run", *(["--user"] if own else []), "--quiet", "--wait", "--pipe", *flags, *probe]
    done = machine.run_as("ada", *command, check=False) if own else machine.run(*command, check=False)
    return done.returncode == 0


@pytest.mark.parametrize(
    ("unit", "directive"),
    [
        (unit, line)
        for unit in ("raven-agent.service", "raven-agent@.service", "raven-hub.service")
        for line in directives(unit)
    ],
)
def test_a_directive_holds_something_back(machine: Booted, unit: str, directive: str) -> None:
    """The probe works without it and does not with it, under the manager the unit is for."""
    probe = PROBES.get(directive) or PROBES[directive.partition("=")[0]]
    assert works(machine, unit, probe), "the probe works where nothing holds it back"
    assert not works(machine, unit, probe, directive)


@pytest.mark.parametrize("directive", ["ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes"])
def test_options_absent_from_the_user_unit_restrict_nothing(machine: Booted, directive: str) -> None:
    """There the probe ends as it does without: a line that only looks like protection."""
    probe = PROBES[directive.partition("=")[0]]
    own = "raven-agent.service"
    same = works(machine, own, probe) == works(machine, own, probe, directive)
    assert same, f"{directive} does something after all"


def test_the_folder_of_probes_has_none_too_many() -> None:
    """Every probe is for a directive that stands in some unit."""
    used = {
        line
        for unit in ("raven-agent.service", "raven-agent@.service", "raven-hub.service")
        for line in directives(unit)
    }
    names = used | {line.partition("=")[0] for line in used}
    assert set(PROBES) <= names
