"""From a syntax tree to what is asked, or to a complaint that points at its place."""
