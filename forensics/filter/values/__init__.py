"""What is compared: fields, their selections and functions of them, read for many traces."""
