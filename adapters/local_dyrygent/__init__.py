"""Run workflows in this process, in threads or inline."""
