"""Jobs: tasks x agents x variants x group, run under deadlines and kept in a run directory."""
