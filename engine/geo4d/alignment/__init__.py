"""Predictions of all windows of a shot to one camera path, one lens and consistent depth, whichever model made them."""
