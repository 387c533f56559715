//! The mail of a channel without a body template: an event's summary as HTML and as plain text.
//!
//! One column, styles within the document, no image and nothing to load. It follows the reader's light or dark theme
//! where the client lets it. Everything that comes from data or settings is escaped.

use std::fmt::Write as _;

use url::Url;

use crate::message::rfc3339;
use crate::summary::Summary;

/// The whole document.
pub(super) fn html(summary: &Summary, unsubscribe: Option<&Url>) -> String {
    let title = escaped(&summary.title);
    let colour = format!("#{:06x}", summary.colour());
    let mut out = String::with_capacity(4096);
    out.push_str(HEAD);
    let _ = write!(
        out,
        "<title>{title}</title>\n</head>\n<body class=\"page\" style=\"{PAGE}\">\n\
         <div class=\"card\" style=\"{CARD};border-top:4px solid {colour}\">\n"
    );
    if let Some(state) = summary.state() {
        let _ = writeln!(out, "<p style=\"{LABEL};color:{colour}\">{state}</p>");
    }
    let _ = writeln!(out, "<h1 style=\"{TITLE}\">{title}</h1>");
    if let Some(text) = &summary.text {
        let _ = writeln!(out, "<p style=\"{TEXT}\">{}</p>", with_breaks(text));
    }
    if !summary.fields.is_empty() {
        let _ = writeln!(out, "<table role=\"presentation\" style=\"{TABLE}\">");
        for field in &summary.fields {
            let (name, value) = (escaped(&field.name), with_breaks(&field.value));
            let _ = writeln!(
                out,
                "<tr><td class=\"quiet line\" style=\"{NAME}\">{name}</td><td class=\"line\" style=\"{VALUE}\">{value}</td></tr>"
            );
        }
        out.push_str("</table>\n");
    }
    if summary.fields_left_out > 0 {
        let _ = writeln!(out, "<p class=\"quiet\" style=\"{FOOT}\">and {} fields more</p>", summary.fields_left_out);
    }
    if let Some(link) = &summary.link {
        let link = escaped(link.as_str());
        let _ = writeln!(out, "<p style=\"{TEXT}\"><a class=\"link\" style=\"{LINK}\" href=\"{link}\">{link}</a></p>");
    }
    let (at, event_type) = (rfc3339(summary.occurred_at), escaped(&summary.event_type));
    let _ = writeln!(out, "<p class=\"quiet\" style=\"{FOOT}\">{at}<br>Sent by Postrider for the event {event_type}.");
    if let Some(url) = unsubscribe {
        let _ = writeln!(
            out,
            "<br><a class=\"quiet\" style=\"{QUIET_LINK}\" href=\"{}\">Unsubscribe</a>",
            escaped(url.as_str())
        );
    }
    out.push_str("</p>\n</div>\n</body>\n</html>\n");
    out
}

/// The same without markup.
pub(super) fn text(summary: &Summary, unsubscribe: Option<&Url>) -> String {
    let mut out = format!("{}\n", summary.title);
    if let Some(severity) = summary.severity {
        let _ = writeln!(out, "Severity: {severity}");
    }
    if let Some(text) = &summary.text {
        let _ = write!(out, "\n{text}\n");
    }
    if !summary.fields.is_empty() {
        out.push('\n');
    }
    for field in &summary.fields {
        let _ = writeln!(out, "{}: {}", field.name, field.value.replace('\n', "\n  "));
    }
    if summary.fields_left_out > 0 {
        let _ = writeln!(out, "and {} fields more", summary.fields_left_out);
    }
    if let Some(link) = &summary.link {
        let _ = write!(out, "\n{link}\n");
    }
    let at = rfc3339(summary.occurred_at);
    // The line that mail programs take for the beginning of a signature.
    let _ = write!(out, "\n-- \n{at}\nSent by Postrider for the event {}.\n", summary.event_type);
    if let Some(url) = unsubscribe {
        let _ = writeln!(out, "Unsubscribe: {url}");
    }
    out
}

/// Text that stands between tags or in a quoted attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn with_breaks(text: &str) -> String {
    escaped(text).replace('\n', "<br>\n")
}

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<meta name=\"supported-color-schemes\" content=\"light dark\">
<style>
:root { color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  .page { background: #15171a !important; color: #e6e8eb !important; }
  .card { background: #1e2125 !important; }
  .quiet { color: #9aa2ad !important; }
  .line { border-color: #33383f !important; }
  .link { color: #8ab4f8 !important; }
}
</style>
";

const PAGE: &str = "margin:0;padding:16px;background:#f4f5f7;color:#1c1f23;\
                    font:16px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const CARD: &str = "max-width:600px;margin:0 auto;padding:20px;background:#ffffff;border-radius:4px";
const LABEL: &str = "margin:0 0 4px;font-size:13px;font-weight:600";
const TITLE: &str = "margin:0 0 12px;font-size:20px;line-height:1.3;overflow-wrap:anywhere";
const TEXT: &str = "margin:0 0 16px;overflow-wrap:anywhere";
const TABLE: &str = "width:100%;border-collapse:collapse;margin:0 0 16px;font-size:14px";
const NAME: &str = "padding:6px 12px 6px 0;vertical-align:top;color:#5b636e;border-bottom:1px solid #e3e6ea;width:30%;\
                    overflow-wrap:anywhere";
const VALUE: &str = "padding:6px 0;vertical-align:top;border-bottom:1px solid #e3e6ea;overflow-wrap:anywhere";
const LINK: &str = "color:#1a5fd0";
const QUIET_LINK: &str = "color:#5b636e";
const FOOT: &str = "margin:0;font-size:13px;color:#5b636e";
