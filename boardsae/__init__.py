"""boardsae: did your sparse autoencoder find the board?"""

__version__ = "0.1.0"


class Broken(Exception):
    """Files that are not what their manifest or the rules say: exit code 3."""
