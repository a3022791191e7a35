"""The splits stage: who trains, who validates, who is tested, and an audit of what leaks between them."""
