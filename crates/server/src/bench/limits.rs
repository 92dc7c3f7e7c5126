//! What the machine can do at most, each limit with nothing around it.

use super::client::{Load, Target, post_letters};
use super::ground::Ground;
use super::letter::{Chance, DOMAIN};
use super::meter::Stopwatch;
use super::{BenchError, Limit, failed};
use crate::app;
use crate::platform::net::{HttpsUrl, Outgoing, TlsMin};
use bytes::Bytes;
use http::HeaderMap;
use sealwright_mail::address::Domain;
use sealwright_mail::dkim::{Signer, SigningKey};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Rows of one commit: past this a commit stops getting cheaper.
const ROWS_PER_COMMIT: usize = 128;
/// PostgreSQL connections that commit at the same time: as many as the store's write lanes by default.
const POSTGRES_CONNECTIONS: usize = 4;
/// Bytes of a bare post: a webhook with one event in it has about as many.
const POST_BYTES: usize = 700;
/// Header and body of the message that is signed for the limit: short, so that the signature itself is nearly all of the work.
const SHORT_MESSAGE: &[u8] = b"From: a@sender.example\r\nSubject: b\r\n\r\nc\r\n";
const SHORT_BODY_START: usize = 38;

impl Ground {
    /// Measures a limit; per second.
    pub(super) async fn limit(&self, limit: Limit, period: Duration) -> Result<f64, BenchError> {
        match limit {
            Limit::Commit => match self.postgres.as_ref().map(|server| server.url()) {
                Some(url) => postgres_rows(url.expose(), self.options.body_bytes, period).await,
                None => {
                    let (path, bytes) = (self.folder().join("limit.db"), self.options.body_bytes);
                    let rows = tokio::task::spawn_blocking(move || sqlite_rows(path, bytes, period)).await;
                    rows.map_err(failed("the group commit"))?
                }
            },
            Limit::Signatures => signatures(&self.signer, period).await,
            Limit::Requests => {
                let target = Target {
                    address: self.receiver.address,
                    tls: Arc::clone(&self.client_tls),
                    path: "/",
                    key: None,
                };
                let load = Load {
                    connections: self.options.connections,
                    period,
                    body_bytes: self.options.body_bytes,
                    seed: 1,
                };
                Ok(post_letters(&target, load).await?.rate_per_s())
            }
            Limit::Posts => self.posts(period).await,
        }
    }

    async fn posts(&self, period: Duration) -> Result<f64, BenchError> {
        let http = app::net(&self.config)?.http;
        let url = format!("https://localhost:{}/", self.receiver.address.port());
        let url = Arc::new(HttpsUrl::parse(&url).map_err(failed("the receiver's URL"))?);
        let body = Bytes::from(Chance::new(2).bytes(POST_BYTES));
        let mut tasks = JoinSet::new();
        let watch = Stopwatch::start();
        for _ in 0..self.config.webhooks.concurrency_max {
            let (http, url, body) = (http.clone(), Arc::clone(&url), body.clone());
            tasks.spawn(async move {
                let mut count = 0_u64;
                while watch.elapsed() < period {
                    let outgoing = Outgoing {
                        url: &url,
                        headers: HeaderMap::new(),
                        body: body.clone(),
                        timeout: Duration::from_secs(30),
                        min_tls: TlsMin::V1_3,
                    };
                    http.post(outgoing).await.map_err(failed("a bare post"))?;
                    count += 1;
                }
                Ok::<_, BenchError>(count)
            });
        }
        per_second(tasks, watch).await
    }
}

async fn per_second(
    mut tasks: JoinSet<Result<u64, BenchError>>,
    watch: Stopwatch,
) -> Result<f64, BenchError> {
    let mut count = 0;
    while let Some(task) = tasks.join_next().await {
        count += task.map_err(failed("a limit"))??;
    }
    Ok(count as f64 / watch.elapsed().as_secs_f64())
}

/// Rows committed per second by one writer, with the page size, the checkpoints and the durability of the store.
fn sqlite_rows(path: PathBuf, body_bytes: usize, period: Duration) -> Result<f64, BenchError> {
    let what = "the group commit";
    for ending in ["", "-wal", "-shm"] {
        let mut file = path.clone().into_os_string();
        file.push(ending);
        // Absent the first time.
        let _ = std::fs::remove_file(file);
    }
    let mut chance = Chance::new(3);
    let bodies: Vec<_> = (0..ROWS_PER_COMMIT).map(|_| chance.bytes(body_bytes)).collect();
    let mut connection = rusqlite::Connection::open(&path).map_err(failed(what))?;
    connection
        .execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 400;
             CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL);",
        )
        .map_err(failed(what))?;
    let watch = Stopwatch::start();
    let mut rows = 0_u64;
    while watch.elapsed() < period {
        let tx = connection.transaction().map_err(failed(what))?;
        let insert = tx.prepare_cached("INSERT INTO rows (body) VALUES (?1)");
        let mut insert = insert.map_err(failed(what))?;
        for body in &bodies {
            insert.execute([body]).map_err(failed(what))?;
            rows += 1;
        }
        drop(insert);
        tx.commit().map_err(failed(what))?;
    }
    Ok(rows as f64 / watch.elapsed().as_secs_f64())
}

/// Rows committed per second by a few connections.
async fn postgres_rows(url: &str, body_bytes: usize, period: Duration) -> Result<f64, BenchError> {
    let what = "the group commit";
    let mut clients = Vec::new();
    for _ in 0..POSTGRES_CONNECTIONS {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
            .await
            .map_err(failed(what))?;
        // Its errors reach the client's statements.
        tokio::spawn(async move { drop(connection.await) });
        clients.push(client);
    }
    let make = "DROP TABLE IF EXISTS bench_rows;
        CREATE TABLE bench_rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL);
        ALTER TABLE bench_rows ALTER body SET STORAGE EXTERNAL";
    if let Some(client) = clients.first() {
        client.batch_execute(make).await.map_err(failed(what))?;
    }
    let mut tasks = JoinSet::new();
    let watch = Stopwatch::start();
    for (client, seed) in clients.into_iter().zip(4..) {
        tasks.spawn(async move {
            let mut chance = Chance::new(seed);
            let bodies: Vec<_> = (0..ROWS_PER_COMMIT).map(|_| chance.bytes(body_bytes)).collect();
            let insert = client.prepare("INSERT INTO bench_rows (body) SELECT unnest($1::bytea[])");
            let insert = insert.await.map_err(failed(what))?;
            let mut rows = 0;
            while watch.elapsed() < period {
                rows += client.execute(&insert, &[&bodies]).await.map_err(failed(what))?;
            }
            Ok(rows)
        });
    }
    per_second(tasks, watch).await
}

/// A signer with a new RSA-2048 key.
pub(super) async fn signer() -> Result<Signer, BenchError> {
    let what = "a signing key";
    let generated = tokio::task::spawn_blocking(SigningKey::generate_rsa_2048).await;
    let (_, key) = generated.map_err(failed(what))?.map_err(failed(what))?;
    let domain = Domain::parse(DOMAIN).map_err(failed(what))?;
    Signer::new(Arc::new(key), &domain, "bench").map_err(failed(what))
}

/// RSA-2048 signatures per second on all cores.
async fn signatures(signer: &Signer, period: Duration) -> Result<f64, BenchError> {
    let what = "the signatures";
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tasks = JoinSet::new();
    let watch = Stopwatch::start();
    for _ in 0..cores {
        let signer = signer.clone();
        tasks.spawn_blocking(move || {
            let mut count = 0;
            while watch.elapsed() < period {
                let signed = signer.sign(SHORT_MESSAGE, SHORT_BODY_START, 1_700_000_000);
                std::hint::black_box(signed.map_err(failed(what))?);
                count += 1;
            }
            Ok(count)
        });
    }
    per_second(tasks, watch).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn the_short_message_has_its_body_where_it_is_said_to_be() {
        let body = SHORT_MESSAGE.get(SHORT_BODY_START..).unwrap();
        assert_eq!(body, b"c\r\n");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn limits_of_disk_and_processor_are_rates() {
        let folder = tempfile::tempdir().unwrap();
        let period = Duration::from_millis(30);
        assert!(sqlite_rows(folder.path().join("limit.db"), 100, period).unwrap() >= ROWS_PER_COMMIT as f64);
        let signer = signer().await.unwrap();
        assert!(signatures(&signer, period).await.unwrap() > 1.0);
    }
}
