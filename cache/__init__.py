"""On-disk feature store: keys, segments, stage stores and the ledger of failures; FORMAT.md is the contract."""
