"""Google Play: AI packs with device targeting, and an AAR that holds nothing but assets."""

from sdk.release.store.android.release import release_android

__all__ = ["release_android"]
