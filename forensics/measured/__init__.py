"""Values that analyzers make, as filters, columns and sort keys ask for them: declared, measured, kept."""
