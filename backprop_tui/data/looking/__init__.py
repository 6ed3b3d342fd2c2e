"""Looking through data: findings over all rows, single rows, and what packing would do."""
