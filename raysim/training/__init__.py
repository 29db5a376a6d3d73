"""Local training: any stage, one client or a stack of them."""
