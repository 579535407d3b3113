"""The parts of the workbench that are not panes."""
