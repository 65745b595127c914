"""What the benchmarks run on: a stand-in for buffalo_l, pictures with known faces, the peak."""
