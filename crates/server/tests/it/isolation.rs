//! Walls between organizations.
