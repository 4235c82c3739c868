"""Data on disk: the KiTS19 layout, its checks, splits, and the prepared format."""
