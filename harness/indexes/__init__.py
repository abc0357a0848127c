"""Vector indexes of other libraries, behind one protocol: built of stored vectors, and searched."""
