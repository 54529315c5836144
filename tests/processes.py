"""What tests of processes share."""

import signal


def hear_ctrl_c() -> None:
    """For `preexec_fn`: what a shell starts with `&` ignores SIGINT, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
