"""The ground floor: keys, segments, shelves and the ledger on disk; FORMAT.md is the contract."""
