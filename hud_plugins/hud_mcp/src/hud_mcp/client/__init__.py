"""The client side: environments behind MCP servers, in other processes, on other machines or in this one."""
