//! Octets that survive a seven-bit way: bodies, header words and parameters.

mod body;
mod field;
mod parameter;

pub(crate) use body::{BodyText, Transfer, is_seven_bit, push_base64};
pub(crate) use field::Field;
pub(crate) use parameter::push_file_name;

/// Octets of a line that must never be passed, without CRLF (RFC 5322 §2.1.1).
pub(crate) const LINE_OCTETS_MAX: usize = 998;

/// Octets of a header line that should not be passed (RFC 5322 §2.1.1).
pub(crate) const HEADER_LINE_OCTETS: usize = 78;

/// How every boundary line begins. No quoted-printable line and no base64 line can begin so, since
/// `=_` is neither an escape nor padding; a part sent as it stands must be looked at.
pub(crate) const BOUNDARY_LINE_START: &str = "--=_";
