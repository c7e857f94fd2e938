"""The command line of adapter-transfer."""
