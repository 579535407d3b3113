"""The built-in analyzers: one file, one question, registered through the same entry points as anyone's."""
