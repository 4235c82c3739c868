"""The commands: flags, messages and exit codes; the work itself is done by the packages beside this one."""
