"""A trained adapter on a small local page and a JSON endpoint. Owns gradio, which is an extra."""
