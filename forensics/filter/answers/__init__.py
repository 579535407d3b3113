"""What is true or false of a trace, for which traces it is, and what that takes."""
