"""Methods: how a phase changes the backbone (full fine-tuning, adapters) and how two phases are composed."""
