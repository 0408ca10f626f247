"""The call of a user's function as flat vectors in and out."""
