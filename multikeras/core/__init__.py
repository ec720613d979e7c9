"""What everything above the backends is made of: variables, symbolic tensors, names, trees, configs."""
