"""How far a long command is: a bar on a terminal, a plain line now and then in a log. Always on stderr."""

import sys
import time
from typing import Protocol, runtime_checkable


def say(line: str) -> None:
    """One line for the person at the terminal, not for the pipe."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@runtime_checkable
class Progress(Protocol):
    def update(self, n: int, /) -> object: ...
    def set_postfix_str(self, note: str, /) -> object: ...
    def close(self) -> object: ...


def progress(title: str, total: int | None, unit: str, done: int = 0) -> Progress:
    """A bar or lines; without a total there is no time left to tell."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        return tqdm(total=total, initial=done, desc=title, unit=f" {unit}", unit_scale=True, smoothing=0.05)
    return Lines(title, total, unit, done)


class Lines:
    """A line at most every 10 seconds, and one at the end, with the rate and the time left."""

    def __init__(self, title: str, total: int | None, unit: str, done: int):
        self.title, self.total, self.unit, self.note = title, total, unit, ""
        self.first, self.done = done, done
        self.start = self.last = time.monotonic()

    def update(self, n: int) -> None:
        self.done += n
        if time.monotonic() - self.last >= 10 and self.done != self.total:  # the last line is for `close`
            self.last = time.monotonic()
            say(self.line())

    def set_postfix_str(self, note: str) -> None:
        self.note = note and f"; {note}"

    def line(self) -> str:
        rate = (self.done - self.first) / max(time.monotonic() - self.start, 1e-9)
        speed = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
        if self.total is None or self.done >= self.total:
            return f"{self.title}: {self.done:,} {self.unit}, {speed}{self.note}"
        left = f", {lasting((self.total - self.done) / rate)} left" if rate else ""
        return f"{self.title}: {self.done:,} of {self.total:,} {self.unit}, {speed}{left}{self.note}"

    def close(self) -> None:
        if self.done != self.first:  # where nothing was left to do there is nothing to tell
            say(self.line())


def lasting(seconds: float) -> str:
    """A time as a person says it: 90 s, 12 min, 5 h 20 min, 3 days."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours / 24:,.0f} days"
