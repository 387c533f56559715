//! What a request carries as its login, read from the `Authorization` header.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use domain::Secret;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Refusal;

/// A login as it was sent; nothing of it is believed yet.
#[derive(Debug)]
pub(super) enum Login<'a> {
    Bearer(&'a str),
    Basic { user: String, password: Secret },
}

/// Some clients leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn read(headers: &HeaderMap) -> Result<Login<'_>, Refusal> {
    let text = headers.get(AUTHORIZATION).ok_or(Refusal::NoKey)?.to_str().map_err(|_| Refusal::BadKey)?;
    let (scheme, rest) = text.split_once(' ').ok_or(Refusal::NoKey)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        // What follows the key is passed over, as clients of Altum's API expect.
        return Ok(Login::Bearer(rest.split_ascii_whitespace().next().unwrap_or_default()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::NoKey);
    }
    let pair = BASE64.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(Refusal::BadKey)?;
    let (user, password) = pair.split_once(':').ok_or(Refusal::BadKey)?;
    Ok(Login::Basic { user: user.to_owned(), password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn logins_are_read_or_refused() {
        let check = |header: Option<&str>, expected: Result<(&str, &str), Refusal>| {
            let headers = header.map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap()));
            let headers: HeaderMap = headers.into_iter().collect();
            let found = read(&headers).map(|login| match login {
                Login::Bearer(secret) => (String::new(), secret.to_owned()),
                Login::Basic { user, password } => (user, password.reveal().to_owned()),
            });
            assert_eq!(found, expected.map(|(user, secret)| (user.to_owned(), secret.to_owned())), "{header:?}");
        };
        check(None, Err(Refusal::NoKey));
        check(Some("Bearer  abc "), Ok(("", "abc")));
        check(Some("bearer abc"), Ok(("", "abc")));
        check(Some("Bearer abc and more"), Ok(("", "abc")));
        check(Some("Bearer "), Ok(("", "")));
        check(Some("abc"), Err(Refusal::NoKey));
        check(Some("Digest abc"), Err(Refusal::NoKey));
        check(Some("Basic YXBpX3VzZXI6YXBpX3Bhc3M="), Ok(("api_user", "api_pass")));
        check(Some("basic YXBpX3VzZXI6YXBpX3Bhc3M"), Ok(("api_user", "api_pass")));
        check(Some("Basic YTpiOmM="), Ok(("a", "b:c")));
        check(Some("Basic OnA="), Ok(("", "p")));
        check(Some("Basic YQ=="), Err(Refusal::BadKey));
        check(Some("Basic /w=="), Err(Refusal::BadKey));
        check(Some("Basic ?"), Err(Refusal::BadKey));
    }
}
