"""Store output: what Google Play and the App Store take, made from bundles and from the profiles that made their plans."""

from sdk.release.store.android import release_android
from sdk.release.store.ios import release_ios
from sdk.release.store.record import ReleaseRecord, check_release, read_record
from sdk.release.store.variants import Variant, gather

__all__ = ["ReleaseRecord", "Variant", "check_release", "gather", "read_record", "release_android", "release_ios"]
