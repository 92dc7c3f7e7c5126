//! Live or test: whether what a caller does has effects outside.

/// Whether effects are real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Mail leaves.
    Live,
    /// Everything but the wire: outcomes come from the recipient's name.
    Test,
}

impl Mode {
    /// Both modes.
    pub const ALL: [Mode; 2] = [Self::Live, Self::Test];

    /// The mode as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// Reads a stored mode.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == text)
    }
}
