//! The operator's mail server: `smtp.url` and `smtp.from`, read and checked. Errors never repeat the URL, which holds a
//! password.

use anyhow::Context as _;
use domain::Secret;
use providers::step::{SmtpServer, SmtpTls};
use url::Url;

use super::read::Reader;

/// Where mail is handed in for channels without a server of their own.
#[derive(Clone, Debug, Default)]
pub struct Smtp {
    pub server: Option<SmtpServer>,
    /// The sender of mails whose channel names none.
    pub from: Option<String>,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Smtp {
    let server = reader.optional("smtp.url", |text| server(text).map_err(|error| format!("cannot be used: {error:#}")));
    let from = reader.optional("smtp.from", |text| {
        providers::address::check(text)?;
        Ok(text.to_owned())
    });
    Smtp { server, from }
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
    use crate::config::{Config, Sources};

    fn load(url: &str, from: &str) -> Result<Smtp, String> {
        let variables = [("POSTRIDER_SMTP__URL", url), ("POSTRIDER_SMTP__FROM", from)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let loaded = Config::load(&Sources { variables, ..Sources::default() });
        loaded.map(|config| config.smtp).map_err(|errors| errors.to_string())
    }

    #[test]
    fn urls_say_how_to_connect() {
        let check = |url: &str, host: &str, port: u16, tls: SmtpTls, login: Option<(&str, &str)>| {
            let server = load(url, "").unwrap().server.unwrap();
            assert_eq!((server.host.as_str(), server.port, server.tls), (host, port, tls), "{url}");
            let found = server.user.as_deref().zip(server.password.as_ref().map(Secret::reveal));
            assert_eq!(found, login, "{url}");
        };
        check("smtp://localhost", "localhost", 25, SmtpTls::None, None);
        check("smtps://u:p@mail.test", "mail.test", 465, SmtpTls::Implicit, Some(("u", "p")));
        check("smtp+starttls://mail.test:25/", "mail.test", 25, SmtpTls::StartTls, None);
        let login = Some(("a@b.test", "p+%:/ä"));
        check("smtp+starttls://a%40b.test:p+%25%3A%2F%C3%A4@[::1]", "::1", 587, SmtpTls::StartTls, login);
        assert!(load("", "").unwrap().server.is_none());
    }

    #[test]
    fn errors_name_the_setting_and_keep_the_password() {
        let wrong = |url: &str, from: &str, part: &str| {
            let error = load(url, from).unwrap_err();
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
        wrong("", "nobody", "must be");
    }
}
