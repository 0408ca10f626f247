"""The values of a sparse derivative: products, compression and decompression."""
