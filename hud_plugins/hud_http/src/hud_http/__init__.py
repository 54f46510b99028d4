"""HTTP/1.1 for model calls: many short requests that wait long, to one origin. `hud_http.pool` is the door."""
