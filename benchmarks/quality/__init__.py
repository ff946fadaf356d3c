"""How many copies are found, how few pictures are joined wrongly, which of a group is kept, and how fast."""
