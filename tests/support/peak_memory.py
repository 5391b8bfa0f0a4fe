"""The most memory that this process has had resident, by Linux's own count.

`ru_maxrss` will not do: it counts what started the process as well, and cannot begin anew.
"""

from pathlib import Path

PROCESS = Path("/proc/self")
BEGIN_ANEW = "5"  # of `clear_refs`, see proc_pid_clear_refs(5)
IS_COUNTED = (PROCESS / "clear_refs").exists()


def peak_mb() -> float:
    """Return the peak since the process began, or since `forget_peak`."""
    lines = (PROCESS / "status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def forget_peak() -> float:
    """Let the peak begin anew, and return what it begins with: what is resident now."""
    (PROCESS / "clear_refs").write_text(BEGIN_ANEW, encoding="ascii")
    return peak_mb()
