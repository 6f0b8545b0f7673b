"""Series of figures per account: what they are, how they are read from files, how they are kept and rolled up."""
