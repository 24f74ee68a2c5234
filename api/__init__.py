"""tssr from Python: workspaces, data sets and runs as objects over the same stages as the commands.

`import tssr` makes these names available; nothing heavy is imported before one is used.
"""
