"""The commands of hud-huggingface."""
