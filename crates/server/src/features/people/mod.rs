//! People: what they may do ([`Permissions`], [`Role`]), who they are ([`Member`]), and whose word is taken for it ([`Issuer`]).
//!
//! A member is a subject of one issuer, with a role. The issuer's tokens say who a person is and never what they may do: that stands in
//! the member's row. A member belongs to the issuer's row and not to its name, so whoever names the same issuer again gets nobody with it.
//!
//! Not here: how a token is checked (that is `sessions`). Not yet: invitations, passwords, second factors.

mod issuers;
mod members;
mod permissions;
mod roles;
mod store;

pub use issuers::{
    Algorithm, Issuer, IssuerError, NewIssuer, Proof, Trusted, add_issuer, issuer, issuers, remove_issuer,
    trusted,
};
pub use members::{
    By, Member, MemberError, MembersPage, NewMember, add_member, change_role, member, members,
    permissions_of, remove_member, role_of,
};
pub use permissions::Permissions;
pub use roles::Role;
pub use store::ALL as STATEMENTS;
