"""Methods: how a phase changes the backbone (full fine-tuning, adapters), how two phases are composed, and the attaching itself."""
