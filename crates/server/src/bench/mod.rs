//! Measures this machine and this program on it, in the same run.
