"""`sdk cache`: how big the cache is, and a way to empty it."""

from __future__ import annotations

import click

from sdk.cli.options import json_option


@click.command()
@click.option("--clear", is_flag=True, help="Remove every entry that no other run is using now.")
@json_option
def COMMAND(clear: bool, as_json: bool) -> None:
    """Show what the cache holds: scores, prices, lowered artifacts and their executions, by kind.

    \b
    SDK_CACHE says where it is, SDK_CACHE_MAX (such as 5GB) how big it may grow before what was
    used least recently is removed. It can be deleted at any time; that only costs time.

    \b
      sdk cache
      sdk cache --clear
    """
    from sdk.cache import Cache, cache_folder, cache_limit
    from sdk.cli.output import print_facts, print_json, print_table
    from sdk.units import format_size

    cache = Cache()
    freed = cache.clear() if clear else 0
    usage = cache.usage()
    total = sum(each.bytes for each in usage)
    if as_json:
        kinds = {each.kind: {"entries": each.entries, "bytes": each.bytes} for each in usage}
        print_json({"folder": str(cache_folder()), "bytes": total, "limit": cache_limit(), "freed": freed, "kinds": kinds})
        return
    if usage:
        print_table(("kind", "entries", "bytes"), [(u.kind, u.entries, f"{u.bytes:,}") for u in usage], "", "entries bytes")
        click.echo()
    print_facts([
        ("folder", cache_folder()), ("held", f"{format_size(total)} of at most {format_size(cache_limit())}"),
        *([("freed", format_size(freed))] if clear else []),
    ])  # fmt: skip
