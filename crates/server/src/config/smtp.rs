//! The operator's mail server: `smtp.url` and `smtp.from`, read and checked. Errors never repeat the URL, which holds a
//! password.

use anyhow::Context as _;
use domain::Secret;
use providers::step::{SmtpServer, SmtpTls};
use serde::Deserialize;
use url::Url;

/// `[smtp]` in `defaults.toml`.
#[derive(Deserialize)]
pub(super) struct RawSmtp {
    url: String,
    from: String,
}

// By hand, because the URL holds a password.
impl std::fmt::Debug for RawSmtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawSmtp")
    }
}

/// Where mail is handed in for channels without a server of their own.
#[derive(Clone, Debug, Default)]
pub struct Smtp {
    pub server: Option<SmtpServer>,
    /// The sender of mails whose channel names none.
    pub from: Option<String>,
}

impl RawSmtp {
    pub(super) fn check(self) -> anyhow::Result<Smtp> {
        let url = Some(self.url).filter(|url| !url.is_empty());
        let from = Some(self.from).filter(|from| !from.is_empty());
        if let Some(from) = &from {
            providers::address::check(from).map_err(|message| anyhow::anyhow!("POSTRIDER_SMTP__FROM {message}"))?;
        }
        let server = url.map(|url| server(&url).context("POSTRIDER_SMTP__URL cannot be used")).transpose()?;
        Ok(Smtp { server, from })
    }
}

fn server(text: &str) -> anyhow::Result<SmtpServer> {
    let url = Url::parse(text).map_err(|error| anyhow::anyhow!("it is not a URL: {error}"))?;
    let (tls, usual_port) = match url.scheme() {
        "smtp+starttls" => (SmtpTls::StartTls, 587),
        "smtps" => (SmtpTls::Implicit, 465),
        "smtp" => (SmtpTls::None, 25),
        _ => anyhow::bail!("it must begin with smtp+starttls://, smtps:// or smtp://"),
    };
    let host = url.host_str().filter(|host| !host.is_empty()).context("it names no host")?;
    anyhow::ensure!(
        matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none(),
        "it must end after the port; write '/', '?', '#' and '@' in a password as %2F, %3F, %23 and %40"
    );
    let user = decoded(url.username())?;
    let password = url.password().map(decoded).transpose()?;
    anyhow::ensure!(user.is_empty() == password.is_none(), "it must have both a user name and a password, or neither");
    anyhow::ensure!(
        password.is_none() || tls != SmtpTls::None,
        "smtp:// takes no password, which is sent over TLS only: use smtp+starttls:// or smtps://"
    );
    Ok(SmtpServer {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: url.port().unwrap_or(usual_port),
        tls,
        user: Some(user).filter(|user| !user.is_empty()),
        password: password.map(Secret::new),
    })
}

fn decoded(text: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control));
    text.context("its user name or password is not text when it is percent-decoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, from: &str) -> anyhow::Result<Smtp> {
        RawSmtp { url: url.to_owned(), from: from.to_owned() }.check()
    }

    #[test]
    fn urls_say_how_to_connect() {
        let check = |url: &str, host: &str, port: u16, tls: SmtpTls, login: Option<(&str, &str)>| {
            let server = check(url, "").unwrap().server.unwrap();
            assert_eq!((server.host.as_str(), server.port, server.tls), (host, port, tls), "{url}");
            let found = server.user.as_deref().zip(server.password.as_ref().map(Secret::reveal));
            assert_eq!(found, login, "{url}");
        };
        check("smtp://localhost", "localhost", 25, SmtpTls::None, None);
        check("smtps://u:p@mail.test", "mail.test", 465, SmtpTls::Implicit, Some(("u", "p")));
        check("smtp+starttls://mail.test:25/", "mail.test", 25, SmtpTls::StartTls, None);
        let login = Some(("a@b.test", "p+%:/ä"));
        check("smtp+starttls://a%40b.test:p+%25%3A%2F%C3%A4@[::1]", "::1", 587, SmtpTls::StartTls, login);
        assert!(super::tests::check("", "").unwrap().server.is_none());
    }

    #[test]
    fn errors_name_the_setting_and_keep_the_password() {
        let wrong = |url: &str, from: &str, part: &str| {
            let error = format!("{:#}", check(url, from).unwrap_err());
            assert!(error.contains("POSTRIDER_SMTP__") && error.contains(part), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        };
        wrong("hunter2", "", "not a URL");
        wrong("http://u:hunter2@mail.test", "", "smtps://");
        wrong("smtp://u:hunter2@mail.test", "", "no password");
        wrong("smtps://u@mail.test", "", "both");
        wrong("smtps://:hunter2@mail.test", "", "both");
        wrong("smtps://u:hunter2@mail.test/x", "", "%2F");
        wrong("smtps://u:hunter2%00@mail.test", "", "not text");
        wrong("smtps://", "", "host");
        wrong("", "nobody", "SMTP__FROM must be");
    }
}
