//! The listeners, as set: HTTPS for the API, plain HTTP that refuses, and the operator's own.

use super::{Readiness, StartError, file_error};
use crate::config::{Config, Server};
use crate::entry::admin;
use crate::entry::edge::acme::{Acme, Challenges, Folder, Proof};
use crate::entry::edge::{
    self, Certificates, Files, Listener, Options, Pace, Tls, TlsSettingError, Transport, Trusted, plain,
};
use crate::entry::smtp;
use crate::entry::well_known;
use crate::features::delivery::Queue;
use crate::features::returns::{StsMode, StsPolicy};
use crate::limits::ANSWERS_BYTES_MAX;
use crate::platform::Platform;
use crate::platform::jobs::Stop;
use crate::platform::net::{Dns, Guard, HttpClient, HttpConfig};
use axum::Router;
use sealwright_mail::address::Domain;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Connections of the operator's listener.
const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Connections of the plain listener: each is answered once and closed.
const PLAIN_CONNECTIONS_MAX: usize = 1024;

/// What is served where.
pub(super) struct Routers {
    /// On the HTTPS listener.
    pub(super) https: Router,
    /// On the plain listener, after the challenges of certificate authorities.
    pub(super) plain: Router,
}

/// What all listeners are started with.
pub(super) struct Listeners<'a> {
    pub(super) config: &'a Config,
    pub(super) platform: &'a Platform,
    pub(super) readiness: &'a Arc<Readiness>,
    pub(super) stopped: &'a Stop,
    pub(super) tasks: &'a mut JoinSet<()>,
}

/// Where the world finds what listens.
#[derive(Default)]
pub(super) struct Addresses {
    pub(super) https: Option<SocketAddr>,
    pub(super) http: Option<SocketAddr>,
    pub(super) smtp: Option<SocketAddr>,
}

fn unbound(setting: &str, address: SocketAddr, error: &std::io::Error) -> StartError {
    StartError::Setting(format!("{setting}: {address} can't be bound: {error}"))
}

impl Listeners<'_> {
    /// The listeners for the world.
    pub(super) async fn public(
        &mut self,
        routers: Routers,
        dns: &Dns,
        guard: &Guard,
    ) -> Result<Addresses, StartError> {
        let server = &self.config.server;
        let certificates = Arc::new(Certificates::default());
        let challenges = Arc::new(Challenges::default());
        self.readiness.needs(Arc::clone(&certificates));
        let tls = Tls::new(server, Arc::clone(&certificates))?;
        if self.config.acme.names.is_empty() {
            let files = Files::of(server).ok_or(TlsSettingError::Missing)?;
            certificates.install(files.load()?);
            let metrics = Arc::clone(&self.platform.metrics);
            let following = files.follow(Arc::clone(&certificates), metrics, self.stopped.clone());
            self.tasks.spawn(following);
        } else {
            let acme = self.acme(&certificates, &challenges, dns, guard)?;
            let due_at = acme.resume();
            self.tasks.spawn(acme.run(due_at, self.stopped.clone()));
        }
        let smtp = self.smtp(&certificates, dns).await?;
        self.tasks.spawn(edge::measure(
            certificates,
            Arc::clone(&self.platform.metrics),
            self.platform.clock.clone(),
            self.stopped.clone(),
        ));
        let at = ("server.listen", server.listen);
        let https = self
            .start(at, Transport::Https(tls), self.options(), routers.https)
            .await?;
        let Some(http) = server.http_listen else {
            return Ok(Addresses {
                https,
                http: None,
                smtp,
            });
        };
        let options = Options {
            connections_max: PLAIN_CONNECTIONS_MAX.min(server.connections_max),
            ..self.options()
        };
        let router = plain::with_challenges(routers.plain, challenges);
        let http = ("server.http_listen", http);
        let http = self.start(http, Transport::HttpOnce, options, router).await?;
        Ok(Addresses { https, http, smtp })
    }

    /// The listener that takes bounces and complaints, if there is one.
    async fn smtp(
        &mut self,
        certificates: &Arc<Certificates>,
        dns: &Dns,
    ) -> Result<Option<SocketAddr>, StartError> {
        let Some(address) = self.config.smtp.listen else {
            return Ok(None);
        };
        let options = smtp::Options {
            hostname: super::options::ehlo_name(self.config),
            return_host: super::options::return_host(self.config)?,
            tls: Tls::for_mail(Arc::clone(certificates))?,
            dns: dns.clone(),
            platform: self.platform.clone(),
        };
        let listener = smtp::Listener::bind(address, options).await;
        let listener = listener.map_err(|error| unbound("smtp.listen", address, &error))?;
        let bound = listener.address().ok();
        let grace = Duration::from_secs(self.config.server.stop_timeout_s);
        self.tasks.spawn(listener.serve(self.stopped.clone(), grace));
        Ok(bound)
    }

    /// The operator's listener, if there is one.
    pub(super) async fn admin(&mut self, queue: Queue) -> Result<Option<SocketAddr>, StartError> {
        let Some(address) = self.config.server.admin_listen else {
            return Ok(None);
        };
        let path = super::admin_token_path(self.config);
        let router = admin::router(admin::Parts {
            readiness: Arc::clone(self.readiness),
            platform: self.platform.clone(),
            names: super::domain_names(self.config)?,
            queue,
            token: admin::Token::open(&path).map_err(|error| file_error(&path, error))?,
        });
        let options = Options::private(ADMIN_CONNECTIONS_MAX);
        self.start(("server.admin_listen", address), Transport::Http, options, router)
            .await
    }

    fn options(&self) -> Options {
        let Server {
            connections_max,
            connections_per_network_max,
            requests_max,
            proxy_protocol,
            ref trusted_proxies,
            ..
        } = self.config.server;
        Options {
            connections_max,
            connections_per_network_max,
            requests_max,
            answers_bytes_max: ANSWERS_BYTES_MAX,
            trusted: Trusted::new(trusted_proxies),
            proxy_protocol,
            pace: Pace::default(),
            metrics: Arc::clone(&self.platform.metrics),
            clock: self.platform.clock.clone(),
        }
    }

    async fn start(
        &mut self,
        (setting, address): (&str, SocketAddr),
        transport: Transport,
        options: Options,
        router: Router,
    ) -> Result<Option<SocketAddr>, StartError> {
        let listener = Listener::bind(address, transport, options)
            .await
            .map_err(|error| unbound(setting, address, &error))?;
        let bound = listener.address().ok();
        let grace = Duration::from_secs(self.config.server.stop_timeout_s);
        self.tasks
            .spawn(listener.serve(router, self.stopped.clone(), grace));
        Ok(bound)
    }

    fn acme(
        &self,
        certificates: &Arc<Certificates>,
        challenges: &Arc<Challenges>,
        dns: &Dns,
        guard: &Guard,
    ) -> Result<Acme, StartError> {
        let (acme, server) = (&self.config.acme, &self.config.server);
        let wrong = |text: &str| Err(StartError::Setting(text.to_owned()));
        let Some(directory) = acme.directory.clone() else {
            return wrong("acme.directory: the authority's directory URL is missing");
        };
        if !acme.terms_accepted {
            return wrong("acme.terms_accepted: read the authority's terms of service and set it to true");
        }
        if server.tls_cert.is_some() || server.tls_key.is_some() {
            return wrong("acme.names: leave it empty, or server.tls_cert and server.tls_key");
        }
        let Some(proof) = Proof::parse(&acme.challenge) else {
            return wrong("acme.challenge: expected tls-alpn-01 or http-01");
        };
        if proof == Proof::Http && server.http_listen.is_none() {
            return wrong("acme.challenge: http-01 needs server.http_listen");
        }
        let path = self.config.store.data_dir.join("acme");
        let http = HttpConfig {
            extra_roots: match &acme.ca {
                Some(path) => super::options::roots(path)?,
                None => Vec::new(),
            },
            ..HttpConfig::default()
        };
        Ok(Acme {
            directory,
            names: acme.names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            contact: acme.contact.as_ref().map(|address| format!("mailto:{address}")),
            proof,
            folder: Folder::open(path.clone()).map_err(|error| file_error(&path, error))?,
            http: HttpClient::new(guard.clone(), dns.clone(), http)
                .map_err(crate::platform::net::NetSetupError::from)?,
            certificates: Arc::clone(certificates),
            challenges: Arc::clone(challenges),
            metrics: Arc::clone(&self.platform.metrics),
            clock: self.platform.clock.clone(),
        })
    }
}

/// The policy of mail to our own host of return paths, if it has one.
pub fn sts_policy(config: &Config) -> Result<Option<StsPolicy>, StartError> {
    let settings = &config.returns;
    if settings.mta_sts == "off" {
        return Ok(None);
    }
    let unfit = |what: String| StartError::Setting(format!("returns.{what}"));
    let mode = StsMode::parse(&settings.mta_sts)
        .ok_or_else(|| unfit("mta_sts: expected enforce, testing, none or off".into()))?;
    let Some(host) = &settings.host else {
        return Err(unfit(
            "mta_sts: set returns.host, which the policy is about".into(),
        ));
    };
    let host = Domain::parse(host).map_err(|error| unfit(format!("host: {error}")))?;
    let own = [super::options::ehlo_name(config)];
    let names: &[String] = match settings.exchangers.as_slice() {
        [] => &own,
        names => names,
    };
    let exchangers = names.iter().map(|name| Domain::parse(name));
    let exchangers: Vec<Domain> = exchangers
        .collect::<Result<_, _>>()
        .map_err(|error| unfit(format!("exchangers: {error}")))?;
    Ok(Some(StsPolicy::new(host, mode, &exchangers)))
}

/// What the HTTPS listener shows to anyone besides the API.
pub(super) fn for_anyone(config: &Config, readiness: &Arc<Readiness>) -> Result<Router, StartError> {
    let health = admin::health(Arc::clone(readiness));
    Ok(match sts_policy(config)? {
        Some(policy) => health.merge(well_known::well_known(policy)),
        None => health,
    })
}
