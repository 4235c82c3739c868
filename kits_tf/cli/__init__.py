"""The commands: flags, messages and exit codes; the other packages do the work."""
