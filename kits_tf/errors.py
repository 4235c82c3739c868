"""The two errors a user can cause, which every command turns into one line and an exit code; and what he can stop."""


class InputError(Exception):
    """Bad input data: names the file and what is wrong with it (exit code 1, or 2 if nothing can be done)."""

    def __init__(self, path, reason):
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.path, self.reason)  # so that it reaches the process that waits for a worker's


class UsageError(Exception):
    """Unusable flags or nothing to do: names the flag and what it takes (exit code 2)."""

    def __init__(self, flag, takes):
        super().__init__(f"--{flag}: {takes}")
        self.flag = flag
        self.takes = takes


class CancelledError(Exception):
    """A segmentation was stopped because its `cancel` was set."""
