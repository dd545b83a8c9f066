"""Plates: EXR in, read-only; the log curve networks see; small pictures for people."""
