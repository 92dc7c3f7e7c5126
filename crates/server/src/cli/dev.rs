//! `sealwright dev`: everything on one machine, nothing leaves it.

use super::{Failure, print, serve};
use crate::app::{self, Roles};
use crate::clock::Clock;
use crate::config::{Config, Settings};
use crate::entry::dev::{self as pages, Hooks};
use crate::entry::edge::Authority;
use crate::features::audit::Origin;
use crate::features::keys::{self, Caller, Key, NewKey, Permissions, Restrictions, Style};
use crate::features::orgs::{self, NewOrg, Plan};
use crate::features::{domains, webhooks};
use crate::id::OrgId;
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::dev::sink::{Sink, SinkOptions};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The sending domain of the development organization.
const DOMAIN: &str = "example.dev";

/// Serve for development: embedded store, local certificate authority, captured outbox, keys printed once.
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Folder for the store and the certificates.
    #[arg(long, default_value = "sealwright-dev", value_name = "DIR")]
    data: PathBuf,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDR")]
    listen: SocketAddr,
    /// Write one JSON object with addresses and keys here once everything serves.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

/// What scripts need to use a development server.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    api_url: String,
    dashboard_url: String,
    smtp_url: String,
    outbox_url: String,
    ca_cert: PathBuf,
    live_key: String,
    test_key: String,
}

/// What is made at the first start and kept in the data folder.
#[derive(Serialize, Deserialize)]
struct Account {
    org: String,
    live_key: String,
    test_key: String,
    dkim_host: String,
    dkim_record: String,
}

impl Dev {
    pub(super) async fn run(self, settings: Settings) -> Result<(), Failure> {
        if !self.listen.ip().is_loopback() {
            return Err(Failure::Usage(
                "--listen: sealwright dev listens on loopback only; its outbox is open to whoever reaches it"
                    .into(),
            ));
        }
        std::fs::create_dir_all(&self.data).map_err(Failure::of)?;
        let authority = Authority::in_folder(&self.data, Clock::System.now()).map_err(Failure::of)?;
        let sink_options = SinkOptions {
            hostname: "outbox.localhost".into(),
            ..SinkOptions::default()
        };
        let sink = Sink::start(SocketAddr::from(([127, 0, 0, 1], 0)), sink_options).map_err(Failure::of)?;
        let smtp_url = format!("smtp://{}", sink.addr());
        let mut config = self.settings(settings, &authority, &sink)?.config()?;
        crate::log::start(&config.log).map_err(Failure::Usage)?;
        let (platform, lock) = app::open(&config, Clock::System).await?;
        let (account, is_new) = account(&platform, &config, &self.data).await?;
        config.notices.from = Some(format!("Sealwright <security@{DOMAIN}>"));
        config.notices.org = Some(account.org.clone());
        let records = vec![(account.dkim_host.clone(), account.dkim_record.clone())];
        let dev = Arc::new(pages::Dev {
            sink,
            hooks: Hooks::default(),
            dkim_records: records,
        });
        let router = pages::router(Arc::clone(&dev));
        let running = app::start_on(&config, Roles::ALL, router, platform, lock).await?;
        let address = running
            .address
            .ok_or_else(|| Failure::Failed("no address was bound".into()))?;
        listen_to_ourselves(&running.platform, &account, &dev.hooks, address).await?;
        let base = format!("https://{address}");
        let ready = Ready {
            dashboard_url: base.clone(),
            outbox_url: format!("{base}/dev/outbox"),
            api_url: base,
            smtp_url,
            ca_cert: std::fs::canonicalize(&authority.ca_cert).map_err(Failure::of)?,
            live_key: account.live_key,
            test_key: account.test_key,
        };
        welcome(&ready, is_new, &self.data)?;
        if let Some(path) = &self.ready_file {
            write_ready(path, &ready).map_err(Failure::of)?;
        }
        serve::stop_signal().await.map_err(Failure::of)?;
        running.stop().await;
        Ok(())
    }

    fn settings(&self, settings: Settings, authority: &Authority, sink: &Sink) -> Result<Settings, Failure> {
        let text = |path: &Path| path.display().to_string();
        let settings = settings
            .with("server.listen", self.listen.to_string())?
            .with("server.tls_cert", text(&authority.cert))?
            .with("server.tls_key", text(&authority.key))?
            .with("store.data_dir", text(&self.data))?
            .with("store.postgres_url", "")?
            .with("delivery.static_route", sink.addr().to_string())?
            .with("net.allow_private", "127.0.0.0/8,::1/128")?
            .with("net.extra_ca", text(&authority.ca_cert))?
            .with("server.stop_timeout_s", "5")?;
        Ok(settings)
    }
}

/// The development organization; made at the first start.
async fn account(platform: &Platform, config: &Config, folder: &Path) -> Result<(Account, bool), Failure> {
    let path = folder.join("account.json");
    if let Ok(text) = std::fs::read_to_string(&path) {
        let account = serde_json::from_str(&text)
            .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
        return Ok((account, false));
    }
    let org = orgs::create(
        platform,
        NewOrg {
            name: "Development",
            plan: Plan::Pro,
            rate_per_second: None,
            region: &config.vault.region,
        },
    )
    .await
    .map_err(Failure::of)?;
    let added = domains::add(platform, &Caller::system(org.id.clone()), DOMAIN)
        .await
        .map_err(Failure::of)?;
    domains::assume_verified(platform, &org.id, &added.id)
        .await
        .map_err(Failure::of)?;
    let (dkim_host, dkim_record) = added.dkim_record().unwrap_or_default();
    let account = Account {
        live_key: key(platform, &org.id, Mode::Live).await?.expose().to_owned(),
        test_key: key(platform, &org.id, Mode::Test).await?.expose().to_owned(),
        org: org.id.to_string(),
        dkim_host,
        dkim_record,
    };
    // The keys open a development store that lies in the same folder, and only the folder's owner may read them.
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(Failure::of)?;
    serde_json::to_writer_pretty(&mut file, &account).map_err(Failure::of)?;
    file.sync_all().map_err(Failure::of)?;
    Ok((account, true))
}

async fn key(platform: &Platform, org: &OrgId, mode: Mode) -> Result<Key, Failure> {
    let permissions = Permissions::parse(&["*".to_owned()]).map_err(Failure::Failed)?;
    let new = NewKey {
        name: format!("development, {}", mode.name()),
        mode,
        style: Style::Le,
        permissions,
        restrictions: Restrictions::default(),
    };
    Ok(keys::create(platform, org, new).await.map_err(Failure::of)?.1)
}

/// Webhook endpoints of the development organization that point to this process, one for each mode. Made anew at each start, because
/// the port may have changed.
async fn listen_to_ourselves(
    platform: &Platform,
    account: &Account,
    hooks: &Hooks,
    address: SocketAddr,
) -> Result<(), Failure> {
    let authenticator = keys::Authenticator::default();
    for key in [&account.live_key, &account.test_key] {
        let caller: Caller = authenticator
            .caller(platform, key, Origin::default())
            .await
            .map_err(Failure::of)?;
        for old in webhooks::list(platform, &caller).await.map_err(Failure::of)? {
            if old.description.as_deref() == Some(OUR_ENDPOINT) {
                webhooks::delete(platform, &caller, &old.id)
                    .await
                    .map_err(Failure::of)?;
            }
        }
        let mode = caller.mode.name();
        let url = format!("https://localhost:{}/dev/hooks/{mode}", address.port());
        let wish = webhooks::Wish {
            description: Some(OUR_ENDPOINT.to_owned()),
            ..webhooks::Wish::new(&url, &["*"])
        };
        let created = webhooks::create(platform, &caller, wish);
        hooks.set_secret(mode, created.await.map_err(Failure::of)?.secret.expose());
    }
    Ok(())
}

const OUR_ENDPOINT: &str = "the development outbox";

fn welcome(ready: &Ready, is_new: bool, folder: &Path) -> Result<(), Failure> {
    let keys = if is_new {
        format!("  live key  {}\n  test key  {}\n", ready.live_key, ready.test_key)
    } else {
        format!(
            "  keys      as printed at the first start (also in {})\n",
            folder.join("account.json").display()
        )
    };
    let key = if is_new {
        ready.live_key.as_str()
    } else {
        "$LIVE_KEY"
    };
    print(&format!(
        "Sealwright is ready.\n\n  API       {api}\n  outbox    {outbox}\n  CA        {ca}\n{keys}\nSend a first e-mail:\n\n\
         curl --cacert {ca} {api}/v1/emails \\\n  -H \"Authorization: Bearer {key}\" -H 'Content-Type: application/json' \\\n  \
         -d '{{\"from\":\"Hello <hello@{DOMAIN}>\",\"to\":\"ada@example.com\",\"subject\":\"First e-mail\",\"html\":\"<p>It <b>works</b>.</p>\"}}'\n\n\
         Then look at {outbox}\n",
        api = ready.api_url,
        outbox = ready.outbox_url,
        ca = ready.ca_cert.display(),
    ))
}

/// Written beside and renamed, so that who waits for the file never reads half of it.
fn write_ready(path: &Path, ready: &Ready) -> std::io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(&serde_json::to_vec(ready).map_err(std::io::Error::other)?)?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}
