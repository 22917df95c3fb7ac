"""The error of everything a laptop needs in place of a cluster."""


class LocalError(RuntimeError):
    """Something this machine lacks or refused: one line with what, where and the mend."""
