"""Artists' file formats: one module for each tool, see ``registry``."""
