"""The experiments that people run, as YAML; a package so that they travel in the wheel (`adapter_transfer_configs`)."""
