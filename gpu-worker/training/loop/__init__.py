"""What every training shares: configs, rates, gradients, checkpoints, logs."""
