"""How the bundled models are made. `recipes/README.md` tells it in order."""
