//! Accepting e-mail.
