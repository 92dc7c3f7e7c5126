//! What notices say. No text of anybody's choice is in them: a notice must not be a way to send words to a contact in our name.

use crate::features::audit;
use crate::features::orgs::Settings;
use serde_json::Value;

/// A notice in words.
pub(super) struct Words {
    /// The audit entry by which notices of this kind are counted.
    pub(super) counted_as: &'static str,
    pub(super) subject: String,
    pub(super) text: String,
}

/// What is said of an event, by its public JSON; `None` for events that nobody is told of by mail.
pub(super) fn of_event(kind: &str, body: &[u8]) -> Option<Words> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let data = &body["data"];
    let field = |name: &str| data[name].as_str().unwrap_or_default();
    // Not its name, which is anybody's text.
    let key = format!(
        "{}…{} ({})",
        field("keyPrefix"),
        field("lastFour"),
        field("keyId")
    );
    match kind {
        "api_key.exposed" => {
            let place = match field("channel") {
                "url" => "in the URL of a request",
                "plaintext_http" => "on a connection without TLS",
                "browser" => "in a request of a browser",
                "mail" => "in an e-mail that was being sent",
                _ => "by somebody who reported it",
            };
            let fate = match field("action") {
                "revoked" => "It was revoked and works no more.".to_owned(),
                "expires" => format!("It still works until {}.", field("expiresAt")),
                _ => "It still works: the organization's settings ask for notice only.".to_owned(),
            };
            Some(Words {
                counted_as: "api_key.exposure_notified",
                subject: "An API key was exposed".to_owned(),
                text: format!(
                    "The API key {key} was seen {place}.\n\n{fate}\n\nMake a new key, put it in the place of the old one, and find out \
                     how the old one got there. GET /v1/api-keys/{} shows from where it was last used, and with what.\n",
                    field("keyId")
                ),
            })
        }
        "webhook.disabled" => Some(of_disabled(&field)),
        "api_key.rotation_due" => {
            let days = data["ageDays"].as_u64().unwrap_or_default();
            Some(Words {
                counted_as: "api_key.rotation_notified",
                subject: format!("An API key is {days} days old"),
                text: format!(
                    "The API key {key} is {days} days old. Keys should be replaced every 90 days.\n\nRotate it: the new key may do the \
                     same, and the old one goes on working for as long as you choose, so that nothing stands still.\n"
                ),
            })
        }
        "domain.failed" => Some(Words {
            counted_as: "domain.failure_notified",
            subject: "A sending domain failed".to_owned(),
            text: format!(
                "The sending domain {id} has failed: the DNS does not show the key that signs for it, for three days by now, or for 30 \
                 since it was added. Mail from it is refused until the key is there again.\n\nGET /v1/domains/{id} shows which domain it \
                 is and which records are missing. Publish them, or find out who took them away; POST /v1/domains/{id}/verify looks \
                 at once.\n",
                id = field("domainId")
            ),
        }),
        _ => None,
    }
}

fn of_disabled<'a>(field: &impl Fn(&str) -> &'a str) -> Words {
    let why = match field("reason") {
        "gone" => "It answered 410, which says that it never will take anything again.".to_owned(),
        _ => format!("It has taken nothing since {}.", field("failingSince")),
    };
    Words {
        counted_as: "webhook.disabled_notified",
        subject: "A webhook endpoint was disabled".to_owned(),
        text: format!(
            "The webhook endpoint {id} gets no events any more. {why}\n\nWhen it works again, set its status to active \
             (PATCH /v1/webhooks/{id}) and send it what it missed (POST /v1/webhooks/{id}/replay).\n",
            id = field("webhookId")
        ),
    }
}

/// What is said of a change of settings. The old and the new contact read the same, and neither learns the other's address.
pub(super) fn of_settings(entry: &audit::Recorded, old: &Settings, new: &Settings) -> Words {
    let mut changes = String::new();
    if new.security_contact != old.security_contact {
        changes += match (&old.security_contact, &new.security_contact) {
            (_, None) => "* Nobody is the security contact any more.\n",
            (None, Some(_)) => "* You are the security contact now; there was none before.\n",
            (Some(_), Some(_)) => "* The security contact is another one. Both get this mail.\n",
        };
    }
    if new.exposure_policy != old.exposure_policy {
        let (old, new) = (old.exposure_policy.name(), new.exposure_policy.name());
        changes += &format!("* What happens to an exposed key: {new} instead of {old}.\n");
    }
    if new.key_max_age_days != old.key_max_age_days {
        let days = |age: Option<u16>| age.map_or("none".to_owned(), |days| format!("{days} days"));
        let (old, new) = (days(old.key_max_age_days), days(new.key_max_age_days));
        changes += &format!("* Highest age of keys: {new} instead of {old}.\n");
    }
    Words {
        counted_as: "settings.change_notified",
        subject: "Security settings were changed".to_owned(),
        text: format!(
            "{} changed settings of your organization that protect its API keys, at {}:\n\n{changes}\nIf you did not expect this, look at \
             GET /v1/settings, and at the keys and members that may change them.\n",
            entry.actor, entry.at
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_notice_names_the_key_and_never_shows_it() {
        let data = json!({"keyId": "key_1", "name": "Production", "keyPrefix": "le_", "lastFour": "x9Zq", "channel": "url",
            "action": "expires", "expiresAt": "2026-11-25T00:00:00.000Z"});
        let body = json!({"data": data}).to_string();
        let told = of_event("api_key.exposed", body.as_bytes()).map(|words| words.text);
        let told = told.unwrap_or_default();
        assert!(
            told.contains("le_…x9Zq (key_1)") && !told.contains("Production"),
            "{told}"
        );
        assert!(
            told.contains("in the URL") && told.contains("until 2026-11-25"),
            "{told}"
        );
        assert!(of_event("email.sent", body.as_bytes()).is_none());
    }
}
