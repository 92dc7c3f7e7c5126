//! `sealwright doctor`: what is wrong with this machine, its names in the DNS or its settings, in plain words.
//!
//! A finding says what is well, or what is wrong and what to do about it. `machine` looks at files, store, disk and clock; `names` at what
//! the DNS shows of this host; `ports` at the way out and the way in; `lists` at block lists, if there are any to ask.

mod lists;
mod machine;
mod names;
mod ports;
mod spf;

use super::{Failure, print};
use crate::app;
use crate::config::Settings;

#[derive(Debug, PartialEq, Eq)]
struct Finding {
    is_good: bool,
    text: String,
}

fn good(text: impl Into<String>) -> Finding {
    Finding {
        is_good: true,
        text: text.into(),
    }
}

fn bad(text: impl Into<String>) -> Finding {
    Finding {
        is_good: false,
        text: text.into(),
    }
}

pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let config = settings.config()?;
    let mut findings = vec![good("the settings fit")];
    findings.push(machine::tls(&config));
    findings.push(machine::root_key(&config));
    findings.extend(machine::store(&config).await);
    findings.push(machine::disk(&config));
    findings.push(machine::descriptors());
    findings.push(machine::clock());
    match app::net(&config) {
        Ok(net) => {
            findings.push(names::resolver(&config, &net.dns).await);
            findings.extend(names::proofs(&config, &net.secure).await);
            findings.push(names::sender(&config));
            let (of_host, addresses) = names::host(&config, &net.dns).await;
            findings.extend(of_host);
            findings.extend(names::spf(&config, &net.dns, &addresses).await);
            findings.extend(names::policy(&config, &net.dns).await);
            findings.extend(names::tls_reports(&config, &net.dns).await);
            findings.push(ports::outwards(&config, &net.dns).await);
            findings.extend(ports::inwards(&config, &net.dns).await);
            findings.extend(lists::listed(&config, &net.dns, &addresses).await);
        }
        Err(error) => findings.push(bad(error.to_string())),
    }
    for finding in &findings {
        let mark = if finding.is_good { "ok  " } else { "BAD " };
        print(&format!("{mark} {}\n", finding.text))?;
    }
    let wrong = findings.iter().filter(|finding| !finding.is_good).count();
    if wrong == 0 {
        Ok(())
    } else {
        Err(Failure::Failed(format!(
            "{wrong} of {} checks found something wrong",
            findings.len()
        )))
    }
}
