"""The command line of adapter-transfer: one file a verb; a command parses, calls the library and prints."""
