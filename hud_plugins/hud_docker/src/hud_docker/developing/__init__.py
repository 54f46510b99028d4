"""`hud dev` for folders with a Dockerfile: an image and its containers, kept in step with what is saved."""
