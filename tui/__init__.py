"""The front ends: the commands (`cli`) and the workbench (`app`)."""
