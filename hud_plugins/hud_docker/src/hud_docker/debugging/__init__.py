"""`hud debug`: an image taken through the phases of a rollout, one by one, and what is wrong where it stops."""
