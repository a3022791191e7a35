"""Official and identity-disjoint splits, and the audit of leaks between them."""
