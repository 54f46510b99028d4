"""The backend `process`: each rollout in a process of its own, forked from one that has the environment imported.

Parts, from the job's side to the environment's: `backend` opens `session`s; `launcher` starts fork servers and asks
them for children; `server` is such a process; `child` is what it forks. `frames` and `messages` are the bytes between
them.
"""
