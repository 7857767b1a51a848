"""The shell scripts that a check runs on a phone or board: plain sh with what toybox and coreutils both have."""

from __future__ import annotations

from shlex import quote

FOLDER = "snugfit-check"
"""Everything that is pushed lies in this one folder, and who could make it holds the device."""

FACTS = r"""
echo machine $(uname -m); echo kernel $(uname -sr); echo host $(uname -n)
[ -r /proc/sys/kernel/random/boot_id ] && echo boot $(cat /proc/sys/kernel/random/boot_id)
[ -r /proc/device-tree/model ] && echo board $(tr -d '\0' < /proc/device-tree/model)
if command -v getprop >/dev/null 2>&1; then
  for p in ro.product.brand ro.product.model ro.product.device ro.product.cpu.abi ro.build.version.release \
    ro.kernel.qemu ro.boot.qemu; do
    echo $p $(getprop $p)
  done
fi
R=/data/local/tmp; [ -d $R ] || R=${TMPDIR:-/tmp}
echo root $R
echo free $(df -kP $R | tail -n 1)
echo python $(command -v python3)
true
"""
"""Prints one fact a line; what a system does not have is left out."""

_JANITOR = r"""
D={folder}
hold() {{
  mkdir "$D" 2>/dev/null || return 1
  echo {token} > "$D/owner"
  (
    trap '' HUP
    trap 'kill $! 2>/dev/null; exit 0' TERM
    sleep {seconds} & wait $!
    case "$(cat "$D/owner" 2>/dev/null)" in {token}|"") ;; *) exit 0 ;; esac
    P=$(cat "$D/program.pid" 2>/dev/null); [ -n "$P" ] && {{ kill -9 -$P || kill -9 $P; }} 2>/dev/null
    rm -rf "$D"
  ) </dev/null >/dev/null 2>&1 &
  echo $! > "$D/janitor.pid"
}}
umask 077
hold && {{ echo held; exit 0; }}
[ -d "$D" ] || {{ echo unwritable; exit 0; }}
J=$(cat "$D/janitor.pid" 2>/dev/null)
[ -n "$J" ] || {{ sleep 1; J=$(cat "$D/janitor.pid" 2>/dev/null); }}
[ -n "$J" ] && kill -0 $J 2>/dev/null && {{ echo busy; exit 0; }}
rm -rf "$D"
hold && echo held || echo busy
"""

_RELEASE = r"""
D={folder}
[ "$(cat "$D/owner" 2>/dev/null)" = {token} ] || {{ [ -d "$D" ] || echo released; exit 0; }}
P=$(cat "$D/program.pid" 2>/dev/null); [ -n "$P" ] && {{ kill -9 -$P || kill -9 $P; }} 2>/dev/null
J=$(cat "$D/janitor.pid" 2>/dev/null); [ -n "$J" ] && kill $J 2>/dev/null
rm -rf "$D" && echo released
"""

_RUN = r"""
cd {folder} || exit 96
rm -f output_*.bin
S=; command -v setsid >/dev/null 2>&1 && S=setsid
$S {command} </dev/null &
P=$!
echo $P > program.pid
wait $P
C=$?
[ -n "$S" ] && kill -9 -$P 2>/dev/null
rm -f program.pid
exit $C
"""


def hold_script(folder: str, token: str, seconds: float) -> str:
    """Make `folder`, owned by `token`, with a janitor that kills the program and removes all after `seconds`.

    Prints `held`, `busy` (another's janitor lives) or `unwritable`. A folder whose janitor died, as in a reboot, is
    taken over.
    """
    return _JANITOR.format(folder=quote(folder), token=token, seconds=int(seconds) + 1)


def release_script(folder: str, token: str) -> str:
    """Kill the program and the janitor, remove the folder where `token` owns it, and print `released`."""
    return _RELEASE.format(folder=quote(folder), token=token)


def run_script(folder: str, command: str) -> str:
    """Run `command` in `folder`, in a group of its own for the janitor; ends with its exit code (128 + signal).

    What the program leaves behind in its group is killed: it would hold the output open, and the check would wait for it.
    """
    return _RUN.format(folder=quote(folder), command=command)


def hashes_script(folder: str, names: list[str]) -> str:
    """Print the sha256 of each file in `folder`."""
    return f"cd {quote(folder)} && sha256sum {' '.join(map(quote, names))}"
