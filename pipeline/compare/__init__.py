"""Many runs side by side: compare, and the search of tune."""
