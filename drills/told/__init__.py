"""Who is told of a drill, when and how: invited, reminded, asked to acknowledge."""
