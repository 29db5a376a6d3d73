"""Feature extractors: one file each, found by name. Their libraries are imported when a process opens one."""
