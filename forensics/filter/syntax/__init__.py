"""From a filter's text to its syntax tree."""
