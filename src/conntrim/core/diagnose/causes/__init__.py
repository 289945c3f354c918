"""Why a table fills: one file a cause; its docstring is its manual page."""
