"""`nft -j list ruleset` to rule sets."""
