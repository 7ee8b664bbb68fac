"""What a set of labels or a checkpoint is worth: label statistics, effective rank, gradients, figures."""
