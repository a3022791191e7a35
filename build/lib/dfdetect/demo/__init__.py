"""The web page for trying a saved model."""
