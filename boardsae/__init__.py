"""boardsae: did your sparse autoencoder find the board?"""

__version__ = "0.1.0"
