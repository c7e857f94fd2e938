"""Tasks: what is trained on and evaluated. Rows become examples, examples become tokens. No torch."""
