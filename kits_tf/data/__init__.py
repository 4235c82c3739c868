"""Data on disk: the KiTS19 layout, download, checks, splits, and the prepared format that training reads."""
