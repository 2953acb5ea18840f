"""What is on disk: shards, the ledger, the raw log, the lock."""
