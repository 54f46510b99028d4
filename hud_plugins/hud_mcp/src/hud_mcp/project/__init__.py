"""The project that an environment is developed in: its modules, imported, watched and imported again."""
