"""Backbones: the pretrained encoders, what each one is, how large it is and how it is loaded."""
