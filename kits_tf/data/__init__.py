"""Data on disk: the KiTS19 layout, its checks, splits, the prepared format and phantoms."""
