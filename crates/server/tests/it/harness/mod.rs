//! The house that tests live in: engines, a running server, what it talks to, and patience.

mod accounts;
mod client;
mod dns;
mod engine;
mod house;
mod knot;
mod people;
mod receiver;
mod smtp;
mod spawned;
mod tokens;
mod wait;

pub(crate) use accounts::{Account, account, key};
pub(crate) use client::{Client, Reply, plain_get};

pub(crate) use dns::{
    A as DNS_A, CNAME as DNS_CNAME, MX as DNS_MX, NS as DNS_NS, NameServer, Said, TXT as DNS_TXT,
};
pub(crate) use engine::{Database, Engine, postgres_folder};
pub(crate) use house::{House, Setup, base_settings, events_of};
pub(crate) use knot::Knot;
pub(crate) use people::{AUDIENCE, ISSUER, People};
pub(crate) use receiver::{Habit, Hook, Receiver};
pub(crate) use smtp::Talk;
pub(crate) use spawned::{Pairs, Spawned, lines, refusal, run};
pub(crate) use tokens::{SigningKey, base64url};
pub(crate) use wait::{eventually, stays};

/// Makes two tests, `name::sqlite` and `name::postgres`, from each behaviour.
macro_rules! on_both_engines {
    ($($(#[$doc:meta])* async fn $name:ident($engine:ident: $type:ty) $body:block)*) => {$(
        $(#[$doc])*
        async fn $name($engine: $type) $body

        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name($crate::harness::Engine::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name($crate::harness::Engine::Postgres).await;
            }
        }
    )*};
}
pub(crate) use on_both_engines;
