"""cuDNN's settings, which are the process's, while several threads need them."""

from __future__ import annotations

import threading

from torch.backends import cudnn

from star.stages.determinism import deterministic_kernels


def settings() -> tuple[bool, bool, bool]:
    """What cuDNN may do: choose by a stopwatch, only repeatable sums, TF32."""
    return cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32


def test_settings_hold_until_the_last_thread_leaves() -> None:
    """Another thread that comes and goes changes nothing; afterwards all is as before."""
    before = settings()
    with deterministic_kernels():
        assert settings() == (False, True, False)

        def other() -> None:
            with deterministic_kernels():
                pass

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
        assert settings() == (False, True, False)
    assert settings() == before
    assert before != (False, True, False)
