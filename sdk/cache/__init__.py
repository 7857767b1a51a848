"""The content-addressed cache: whole entries by key, shared between runs and processes, never trusted without their digest."""

from sdk.cache.keys import code_digest, key_of, versions
from sdk.cache.store import Cache, Usage, cache_folder, cache_limit

__all__ = ["Cache", "Usage", "cache_folder", "cache_limit", "code_digest", "key_of", "versions"]
