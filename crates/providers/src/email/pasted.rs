//! A mail's channel in one URL: `mailto://` and `mailtos://`.
//!
//! Without a password and without `?smtp=`, `mailto://ann@example.com` is an address that the operator's server mails
//! to. With a password it is an account at a server of the channel's own, which is always spoken to over TLS.

use serde_json::{Map, Value};

use super::{FROM, IMPLICIT_NAME, NONE_NAME, REPLY_TO, SMTP_HOST, SMTP_PASSWORD, SMTP_PORT, SMTP_TLS, SMTP_USER};
use super::{STARTTLS_NAME, TO, address};
use crate::pasted::Parts;

/// Mail servers of common domains that are named otherwise than the domain.
const SERVERS: [(&str, &str); 9] = [
    ("gmail.com", "smtp.gmail.com"),
    ("googlemail.com", "smtp.gmail.com"),
    ("hotmail.com", "smtp-mail.outlook.com"),
    ("icloud.com", "smtp.mail.me.com"),
    ("live.com", "smtp-mail.outlook.com"),
    ("me.com", "smtp.mail.me.com"),
    ("outlook.com", "smtp-mail.outlook.com"),
    ("yahoo.com", "smtp.mail.yahoo.com"),
    ("fastmail.com", "smtp.fastmail.com"),
];

pub(super) fn read(parts: &Parts<'_>) -> Result<Map<String, Value>, String> {
    let place = parts.place();
    let (domain, port) = place.split_once(':').map_or((place.as_str(), None), |(host, port)| (host, Some(port)));
    let domain = domain.to_ascii_lowercase();
    let (user, password) = parts.credentials();
    let user = parts.parameter(&["user"]).or(user);
    let password = parts.parameter(&["pass"]).or(password);
    let account = user.as_ref().map(|user| if user.contains('@') { user.clone() } else { format!("{user}@{domain}") });
    let mut to = parts.segments();
    for list in ["to", "cc", "bcc"] {
        let named = parts.parameter(&[list]).unwrap_or_default();
        to.extend(address::split(&named).into_iter().map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()));
    }
    if to.is_empty() {
        to.push(account.clone().ok_or("it must name an address")?);
    }
    let mut config = Map::from_iter([(TO.to_owned(), to.into())]);
    let mut set = |key: &str, value: Value| drop(config.insert(key.to_owned(), value));
    if let Some(reply_to) = parts.parameter(&["reply", "reply_to"]) {
        set(REPLY_TO, reply_to.into());
    }
    let server = parts.parameter(&["smtp"]);
    let is_own = server.is_some() || password.is_some() || port.is_some();
    let sender = parts.parameter(&["from"]).or_else(|| account.filter(|_| is_own));
    if let Some(sender) = sender {
        let name = parts.parameter(&["name"]);
        set(FROM, name.map_or_else(|| sender.clone(), |name| format!("{name} <{sender}>")).into());
    }
    if !is_own {
        return Ok(config);
    }
    let known = SERVERS.iter().find(|(of, _)| *of == domain).map(|(_, server)| (*server).to_owned());
    let has_password = password.is_some();
    set(SMTP_HOST, server.or(known).unwrap_or(domain).into());
    if let Some(port) = port {
        set(SMTP_PORT, port.into());
    }
    let tls = match (parts.parameter(&["mode"]).as_deref(), port) {
        (Some("ssl"), _) | (None, Some("465")) => IMPLICIT_NAME,
        (Some("insecure"), _) if !has_password => NONE_NAME,
        (None, _) if !has_password && parts.scheme == "mailto" => NONE_NAME,
        _ => STARTTLS_NAME,
    };
    set(SMTP_TLS, tls.into());
    if let (Some(user), Some(password)) = (user, password) {
        // Servers of well-known domains take the whole address for a user name.
        let is_known = SERVERS.iter().any(|(of, _)| place.eq_ignore_ascii_case(of));
        let name = if is_known && !user.contains('@') { format!("{user}@{place}") } else { user };
        set(SMTP_USER, name.into());
        set(SMTP_PASSWORD, password.into());
    } else if has_password {
        return Err("it has a password and no user".to_owned());
    }
    Ok(config)
}
