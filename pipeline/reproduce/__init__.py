"""The paper's tables and figures, and tables that others published, by command."""
