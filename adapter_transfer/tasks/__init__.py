"""Tasks: what is trained on and evaluated. Declarations over formats; rows become examples, examples tokens. No torch."""
