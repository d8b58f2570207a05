"""Built-in measures, one file each, registered in `xnas_core.plugins` like plug-ins."""
