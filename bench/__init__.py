"""`make bench`: every performance claim, measured beside its peer in one run and printed as a ratio."""
