"""What every model call goes through: retries, rate limits, budgets, prices, and a cache."""
