//! A verifier as slow and as literal as RFC 6376 reads; shares nothing with the signer.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;

/// Checks the first field, a signature, over the rest.
pub(crate) fn verify(message: &[u8], record: &str) -> Result<(), String> {
    // Bytes as characters of the same number, so that every octet sequence can be text.
    let message: String = message.iter().map(|byte| char::from(*byte)).collect();
    let (header, body) = message.split_once("\r\n\r\n").ok_or("no body")?;
    let fields = unfolded_fields(header);
    let (_, signature) = fields.first().ok_or("no field")?;
    let tags = tags(&format!("DKIM-Signature:{signature}"));
    let body_hash = STANDARD.encode(digest(&SHA256, &octets(&relaxed_body(body))));
    if tags["bh"] != body_hash {
        return Err("body hash differs".to_owned());
    }

    let mut below = fields[1..].to_vec();
    let mut signed = String::new();
    for name in tags["h"].split(':') {
        let last = below
            .iter()
            .rposition(|(found, _)| found.eq_ignore_ascii_case(name));
        if let Some(index) = last {
            let (name, value) = below.remove(index);
            signed += &format!("{}:{}\r\n", name.to_lowercase(), squeezed(&value));
        }
    }
    let (before, _) = signature.rsplit_once("b=").ok_or("no b=")?;
    signed += &format!("dkim-signature:{}", squeezed(&format!("{before}b=")));

    let (_, key) = record.split_once("p=").ok_or("no p=")?;
    let key = STANDARD.decode(key).map_err(|error| error.to_string())?;
    let value = STANDARD.decode(&tags["b"]).map_err(|error| error.to_string())?;
    let signed = octets(&signed);
    let outcome = match tags["a"].as_str() {
        "rsa-sha256" => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(&signed, &value),
        "ed25519-sha256" => {
            UnparsedPublicKey::new(&ED25519, key).verify(digest(&SHA256, &signed).as_ref(), &value)
        }
        other => return Err(format!("unknown algorithm {other}")),
    };
    outcome.map_err(|_| "signature differs".to_owned())
}

/// The tags of a signature field, all white space removed.
pub(crate) fn tags(field: &str) -> HashMap<String, String> {
    let (_, value) = field.split_once(':').unwrap();
    let value: String = value.chars().filter(|c| !" \t\r\n".contains(*c)).collect();
    let tags = value.split(';').filter(|tag| !tag.is_empty());
    tags.map(|tag| tag.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn unfolded_fields(header: &str) -> Vec<(String, String)> {
    let unfolded = header.replace("\r\n ", " ").replace("\r\n\t", "\t");
    (unfolded.split("\r\n"))
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.trim_end().to_owned(), value.to_owned()))
        .collect()
}

fn relaxed_body(body: &str) -> String {
    let body = body.replace('\t', " ");
    let lines = body.split("\r\n").map(|line| {
        let mut line = line.to_owned();
        while line.contains("  ") {
            line = line.replace("  ", " ");
        }
        line.trim_end_matches(' ').to_owned()
    });
    let mut body = lines.collect::<Vec<_>>().join("\r\n") + "\r\n";
    while body.ends_with("\r\n\r\n") {
        body.truncate(body.len() - 2);
    }
    if body == "\r\n" { String::new() } else { body }
}

fn squeezed(value: &str) -> String {
    value
        .split([' ', '\t'])
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn octets(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}
