"""The one exception that the lab raises for whatever a user can act on."""


class LabError(Exception):
    """Says what was seen, what was expected and what to do, in one text."""
