"""tssr from Python: workspaces, data sets and runs as objects over the same stages as the commands.

`import tssr` gives these names; nothing heavy is imported before one is used.
"""
