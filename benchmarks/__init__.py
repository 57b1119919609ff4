"""Side-by-side measurements, each one command. Not part of the product and not tests."""
