"""Files about a plate, beside it: ``roto.json``, its schema, and how versions are published."""
