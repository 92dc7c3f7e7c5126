//! Roles: the one table of what people may do.

use super::Permissions;

/// What a member is in its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, also what is added later.
    Owner,
    /// Everything but what only an owner may decide.
    Admin,
    /// Builds on it: mail, webhooks and keys.
    Developer,
    /// Looks, and changes nothing.
    Analyst,
    /// Pays. There is nothing to pay yet, so this role may only ask who it is.
    Billing,
}

impl Role {
    /// All roles, strongest first.
    pub const ALL: [Role; 5] = [
        Self::Owner,
        Self::Admin,
        Self::Developer,
        Self::Analyst,
        Self::Billing,
    ];

    /// The table: a role's name, and the words of its permissions.
    const fn row(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Owner => ("owner", &["*"]),
            Self::Admin => (
                "admin",
                &[
                    "emails:*",
                    "domains:*",
                    "suppressions:*",
                    "templates:*",
                    "relays:*",
                    "webhooks:*",
                    "api-keys:*",
                    "settings:*",
                    "members:*",
                ],
            ),
            Self::Developer => (
                "developer",
                &[
                    "emails:*",
                    "domains:*",
                    "suppressions:*",
                    "templates:*",
                    "relays:read",
                    "webhooks:*",
                    "api-keys:*",
                    "settings:read",
                ],
            ),
            Self::Analyst => (
                "analyst",
                &[
                    "emails:read",
                    "domains:read",
                    "suppressions:read",
                    "templates:read",
                    "relays:read",
                    "webhooks:read",
                ],
            ),
            Self::Billing => ("billing", &[]),
        }
    }

    /// The role as it is stored and shown.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Reads a role.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == text)
    }

    /// What it may do.
    pub fn permissions(self) -> Permissions {
        Permissions::of(self.row().1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_word_of_the_table_exists() {
        for role in Role::ALL {
            let words: Vec<String> = role.row().1.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(
                Permissions::parse(&words).unwrap(),
                role.permissions(),
                "{role:?}"
            );
            assert_eq!(Role::parse(role.name()), Some(role));
        }
    }

    #[test]
    fn roles_are_listed_strongest_first() {
        for pair in Role::ALL.windows(2) {
            let [stronger, weaker] = [pair[0].permissions(), pair[1].permissions()];
            assert!(stronger.cover(&weaker) && !weaker.cover(&stronger), "{pair:?}");
        }
    }

    #[test]
    fn an_administrator_may_all_that_is_known_today() {
        let admin = Role::Admin.permissions();
        let missing: Vec<_> = Permissions::KNOWN
            .iter()
            .filter(|word| !admin.allow(word))
            .collect();
        assert!(missing.is_empty(), "decide whose {missing:?} is");
    }
}
