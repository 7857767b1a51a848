"""App Store: a Swift package whose resources are the models, and manifests for Apple-hosted asset packs."""

from sdk.release.store.ios.release import release_ios

__all__ = ["release_ios"]
