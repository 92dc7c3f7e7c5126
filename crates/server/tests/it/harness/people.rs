//! An issuer that an organization trusts, with a member for each role.

use super::{Account, Client, House, Reply, SigningKey};
use http::Method;
use sealwright::clock::Clock;
use sealwright::features::people::Role;
use sealwright::id::Id as _;
use serde_json::{Value, json};

/// `iss` of everything here.
pub(crate) const ISSUER: &str = "https://sign-in.example/auth/v1";
/// `aud` of everything here.
pub(crate) const AUDIENCE: &str = "authenticated";

/// People of one organization. Their subjects are the names of their roles.
pub(crate) struct People {
    client: Client,
    clock: Clock,
    pub(crate) org: String,
    pub(crate) key: SigningKey,
    /// The issuer's id.
    pub(crate) issuer: String,
    /// The members' ids, in the order of roles.
    pub(crate) members: Vec<String>,
}

impl People {
    /// People whose issuer shares a secret.
    pub(crate) async fn of(house: &House, account: &Account) -> Self {
        let secret = format!("a secret of {} that is long enough", account.org);
        let issuer = json!({"issuer": ISSUER, "audience": AUDIENCE, "algorithm": "HS256", "secret": secret});
        Self::with(house, account, SigningKey::hs256(secret), issuer).await
    }

    /// People whose issuer publishes its keys.
    pub(crate) async fn published(house: &House, key: SigningKey, jwks_url: &str) -> Self {
        let algorithm = key.algorithm();
        let issuer =
            json!({"issuer": ISSUER, "audience": AUDIENCE, "algorithm": algorithm, "jwksUrl": jwks_url});
        Self::with(house, &house.account, key, issuer).await
    }

    async fn with(house: &House, account: &Account, key: SigningKey, issuer: Value) -> Self {
        let added = house
            .client
            .post("/v1/session-issuers", &account.live, &issuer)
            .await
            .expect(201);
        let issuer = added["id"].as_str().unwrap().to_owned();
        let mut members = Vec::new();
        for role in Role::ALL.map(Role::name) {
            let member = json!({"issuerId": issuer, "subject": role, "role": role});
            let added = house.client.post("/v1/members", &account.live, &member).await;
            members.push(added.expect(201)["id"].as_str().unwrap().to_owned());
        }
        Self {
            client: house.client.everywhere(),
            clock: house.clock.clone(),
            org: account.org.as_str().to_owned(),
            key,
            issuer,
            members,
        }
    }

    /// The id of the member with this role.
    pub(crate) fn member(&self, role: Role) -> &str {
        let place = Role::ALL.iter().position(|known| *known == role).unwrap();
        &self.members[place]
    }

    /// Claims of an hour, as Supabase makes them: without `nbf`.
    pub(crate) fn claims(&self, subject: &str) -> Value {
        let now = self.clock.now().seconds();
        json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3600, "role": "authenticated"})
    }

    /// A good token of the member with this role.
    pub(crate) fn token(&self, role: Role) -> String {
        self.key.token(&self.claims(role.name()))
    }

    /// Calls with a token for this organization, and further headers.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        more: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let bearer = format!("Bearer {token}");
        let own = [
            ("authorization", bearer.as_str()),
            ("sealwright-organization", &self.org),
        ];
        let headers = [&own, more].concat();
        self.client
            .call_with(method, path, &headers, body.to_owned())
            .await
    }

    /// Asks who is calling.
    pub(crate) async fn me(&self, token: &str) -> Reply {
        self.call(Method::GET, "/v1/me", token, &[], "").await
    }
}
