"""From a bundle to a release: what stands between the two."""
