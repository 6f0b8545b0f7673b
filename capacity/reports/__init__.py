"""What a metric's past says of its future: growth reports, detected events, pools that are sized by a metric, prices."""
