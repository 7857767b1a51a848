"""Ways to choose a width per layer under a limit on bytes: other tools' methods, each made anew from its description."""
