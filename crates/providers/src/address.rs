//! Mail addresses: read from what people enter, cleaned before anything else sees them.
//!
//! An address is ASCII on the wire: a domain in another script is put into its ASCII form, a local part in another
//! script is refused, because few servers take it. Control characters never get past this file.

use lettre::Address;
use lettre::message::Mailbox;
use url::Host;

/// RFC 5321, 4.5.3.1.3, without the angle brackets.
const ADDRESS_BYTES_MAX: usize = 254;

/// The longest name before an address, in characters.
const NAME_CHARS_MAX: usize = 128;

const WRONG: &str = "must be a mail address like ann@example.com or Ann <ann@example.com>";

/// Checks one address, with or without a name. The error says what would be right and repeats nothing.
pub fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// Reads one address. Its name and address hold no control characters.
pub(crate) fn parse(text: &str) -> Result<Mailbox, String> {
    let text = text.trim();
    if text.contains(char::is_control) {
        return Err("must be a single line without control characters".to_owned());
    }
    let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) => (name.trim(), address.trim()),
        None => ("", text),
    };
    let name = match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => name.to_owned(),
    };
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(format!("must have a name of at most {NAME_CHARS_MAX} characters"));
    }
    let (local, domain) = address.rsplit_once('@').ok_or(WRONG)?;
    if !local.is_ascii() {
        return Err("must have only ASCII before the '@': few mail servers take anything else".to_owned());
    }
    // The library lets quoted local parts through with any character in them; a space or an angle bracket would reach
    // the command line of the server.
    if local.contains([' ', '<', '>', '"', '\\', '(', ')', ',', ';', ':']) {
        return Err(WRONG.to_owned());
    }
    let domain = ascii_domain(domain).ok_or(WRONG)?;
    let address = Address::new(local, domain).map_err(|_| WRONG)?;
    if address.to_string().len() > ADDRESS_BYTES_MAX {
        return Err(format!("must be at most {ADDRESS_BYTES_MAX} bytes long"));
    }
    Ok(Mailbox::new(Some(name).filter(|name| !name.is_empty()), address))
}

/// The addresses in a text with commas; a comma in quotes belongs to a name.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut is_quoted) = (0, false);
    for (position, character) in text.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                parts.push(&text[begin..position]);
                begin = position + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// A domain as it is written on the wire; an address literal keeps its brackets.
fn ascii_domain(domain: &str) -> Option<String> {
    if domain.starts_with('[') {
        return Some(domain.to_owned());
    }
    match Host::parse(domain).ok()? {
        Host::Domain(name) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let check = |text: &str, name: Option<&str>, address: &str| {
            let mailbox = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((mailbox.name.as_deref(), mailbox.email.to_string().as_str()), (name, address), "{text}");
        };
        check("ann@example.com", None, "ann@example.com");
        check("  Ann <ann@example.com> ", Some("Ann"), "ann@example.com");
        check("<ann@example.com>", None, "ann@example.com");
        check("\"Doe, \\\"J\\\"\" <j+x@example.com>", Some("Doe, \"J\""), "j+x@example.com");
        check("Änn <ann@bücher.example>", Some("Änn"), "ann@xn--bcher-kva.example");
        check("root@localhost", None, "root@localhost");
        check("root@[127.0.0.1]", None, "root@[127.0.0.1]");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@{}.test", "x".repeat(64), "y.".repeat(100));
        for wrong in [
            "",
            "ann",
            "@x.test",
            "ann@",
            "ann@x y.test",
            "a b@x.test",
            "\"a b\"@x.test",
            "ann@x.test>",
            "<ann@x.test",
            "ann@x.test\r\nRCPT TO:<b@x.test>",
            "Ann\r\nBcc: b@x.test <ann@x.test>",
            "\u{0}ann@x.test",
            "änn@x.test",
            "a>b@x.test",
            "a,b@x.test",
            &long,
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
