"""What of a published version is out of date, and why: see ``stale``."""
