"""The panes: views of one trace at the shared cursor."""
